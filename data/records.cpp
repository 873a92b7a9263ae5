#include "data/records.hpp"

#include "engine/error.hpp"
#include "engine/files.hpp"

namespace rmoe {
namespace {

using nlohmann::json;

json parsed(std::string_view text, const std::string& where) {
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  RMOE_CHECK(!value.is_discarded(), where, ": not JSON in UTF-8");
  return value;
}

void add(std::vector<json>& records, json record, const std::string& where) {
  RMOE_CHECK(record.is_object(), where, ": wanted a JSON object, got ", record.type_name());
  records.push_back(std::move(record));
}

}  // namespace

std::vector<json> parse_records(const std::string& text, const std::string& origin) {
  std::vector<json> records;
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start != text.npos && text[start] == '[') {
    json array = parsed(text, origin);
    for (size_t i = 0; i < array.size(); ++i)
      add(records, std::move(array[i]), concat(origin, ", record ", i));
    return records;
  }
  int64_t line = 1;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1, ++line) {
    end = std::min(text.find('\n', begin), text.size());
    const std::string_view content = std::string_view(text).substr(begin, end - begin);
    const std::string where = concat(origin, ", line ", line);
    if (content.find_first_not_of(" \t\r") != content.npos) add(records, parsed(content, where), where);
  }
  return records;
}

std::vector<json> read_records(const std::filesystem::path& file) {
  return parse_records(files::read(file), file.string());
}

const json& member_of(const json& record, const char* key) {
  const auto found = record.find(key);
  RMOE_CHECK(found != record.end(), "\"", key, "\" is missing");
  return *found;
}

std::string text_of(const json& record, const char* key) {
  const json& value = member_of(record, key);
  RMOE_CHECK(value.is_string(), "\"", key, "\" is ", value.type_name(), ", wanted a string");
  return value;
}

std::vector<std::string> texts_of(const json& record, const char* key) {
  const json& value = member_of(record, key);
  const bool good =
      value.is_array() && std::ranges::all_of(value, [](const json& v) { return v.is_string(); });
  RMOE_CHECK(good, "\"", key, "\" is not a list of strings");
  return value.get<std::vector<std::string>>();
}

}  // namespace rmoe
