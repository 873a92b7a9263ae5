#include "engine/dispatch.hpp"

namespace rmoe::detail {

bool is_linked(void (*function)()) { return function != nullptr; }

}  // namespace rmoe::detail
