#include "engine/cuda/backend.hpp"
#include "engine/dispatch.hpp"

namespace rmoe::cuda {
namespace {

bool is_linked() { return detail::is_linked(reinterpret_cast<void (*)()>(&device_count)); }

}  // namespace

bool available() {
  static const bool yes = is_linked() && device_count() > 0;
  return yes;
}

const char* why_unavailable() {
  return is_linked() ? "no CUDA device is visible" : "this build has no CUDA backend";
}

}  // namespace rmoe::cuda
