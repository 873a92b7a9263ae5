// JSON records out of a file, one a line or all in one array.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace rmoe {

/// Every record of the file; what is not JSON, or not an object, is an error naming the line or the element.
std::vector<nlohmann::json> read_records(const std::filesystem::path& file);
std::vector<nlohmann::json> parse_records(const std::string& text, const std::string& origin);

/// A member that must be there and be a text, or a list of texts.
std::string text_of(const nlohmann::json& record, const char* key);
std::vector<std::string> texts_of(const nlohmann::json& record, const char* key);
const nlohmann::json& member_of(const nlohmann::json& record, const char* key);

}  // namespace rmoe
