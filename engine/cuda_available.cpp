#include "engine/cuda/backend.hpp"
#include "engine/dispatch.hpp"

namespace rmoe::cuda {

bool linked() { return detail::is_linked(reinterpret_cast<void (*)()>(&device_count)); }

bool available() {
  static const bool yes = linked() && device_count() > 0;
  return yes;
}

const char* why_unavailable() {
  return linked() ? "no CUDA device is visible" : "this build has no CUDA backend";
}

}  // namespace rmoe::cuda
