// Files moved to the engine; this name goes when nothing includes it any more.
#pragma once

#include "engine/files.hpp"
