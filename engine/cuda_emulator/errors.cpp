#include "engine/cuda_emulator/errors.hpp"

#include "engine/cuda_emulator/device.hpp"
#include "engine/cuda_emulator/emulator.hpp"

#include <array>
#include <utility>

namespace rmoe::emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local std::string message;

struct ErrorText {
  cudaError_t code;
  const char *name, *text;
};
constexpr std::array kTexts{
    ErrorText{cudaSuccess, "cudaSuccess", "no error"},
    ErrorText{cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    ErrorText{cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    ErrorText{cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
              "invalid configuration argument"},
    ErrorText{cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
              "invalid copy direction for memcpy"},
    ErrorText{cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    ErrorText{cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    ErrorText{cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    ErrorText{cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    ErrorText{cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    ErrorText{cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    ErrorText{cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    ErrorText{cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
};

const ErrorText& text_of(cudaError_t code) {
  for (const ErrorText& text : kTexts)
    if (text.code == code) return text;
  static constexpr ErrorText unknown{cudaErrorUnknown, "cudaErrorUnknown", "unknown error"};
  return unknown;
}

}  // namespace

cudaError_t report(cudaError_t error, const std::string& text) {
  last_error = error;
  message = text;
  return error;
}

void explain(const std::string& text) { message = text; }

const std::string& last_message() { return message; }

}  // namespace rmoe::emulator

using namespace rmoe::emulator;

extern "C" {

cudaError_t cudaPeekAtLastError() {
  const cudaError_t sticky = current_device().sticky_error();
  return sticky != cudaSuccess ? sticky : last_error;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }

/// CUDA's text, then what the emulator knows.
const char* cudaGetErrorString(cudaError_t error) {
  thread_local std::string text;
  text = text_of(error).text;
  const cudaError_t sticky = current_device().sticky_error();
  if (error != cudaSuccess && error == sticky)
    text += ": " + current_device().sticky_message();
  else if (error != cudaSuccess && !message.empty())
    text += ": " + message;
  return text.c_str();
}

}  // extern "C"
