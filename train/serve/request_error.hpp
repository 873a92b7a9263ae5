// A request that gets an error for an answer: its HTTP status and OpenAI's error object.
#pragma once

#include "engine/error.hpp"

#include <string>

namespace rmoe::serve {

struct RequestError : Error {
  RequestError(int status, const std::string& message, std::string parameter = {}, std::string code = {})
      : Error(message), status(status), parameter(std::move(parameter)), code(std::move(code)) {}

  int status;
  std::string parameter;  // the field of the request that is wrong, if one is
  std::string code;       // OpenAI's short name of some errors

  /// {"error": {"message", "type", "param", "code"}}
  std::string body() const;
};

}  // namespace rmoe::serve
