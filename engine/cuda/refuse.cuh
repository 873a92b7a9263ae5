// Ends a kernel that was given what it must not be given: REFUSE("embedding: token %d ...", token). The text
// goes to standard output, the host sees a launch failure at its next call, and the context is lost, as after
// any fault.
#pragma once

#include "engine/cuda/device.cuh"

#ifdef __CUDACC__
#include <stdio.h>
#define REFUSE(...) (printf(__VA_ARGS__), printf("\n"), __trap())
#else
#define REFUSE(...) ::rmoe::emulator::kernel_fails(cudaErrorLaunchFailure, __VA_ARGS__)
#endif
