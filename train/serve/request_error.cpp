#include "train/serve/request_error.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::serve {

std::string RequestError::body() const {
  using Json = nlohmann::ordered_json;
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  const Json json{{"error",
                   {{"message", what()},
                    {"type", status < 500 ? "invalid_request_error" : "server_error"},
                    {"param", text_or_null(parameter)},
                    {"code", text_or_null(code)}}}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);  // a message may quote broken UTF-8
}

}  // namespace rmoe::serve
