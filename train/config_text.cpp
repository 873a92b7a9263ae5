#include "engine/error.hpp"
#include "train/exact.hpp"
#include "train/fields.hpp"

#include <fmt/format.h>

namespace rmoe {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      result += {'\\', c};
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      result += fmt::format("\\u{:04X}", c);
    else
      result += c;
  }
  return result + '"';
}

std::string toml_of(const int64_t* value) { return std::to_string(*value); }
std::string toml_of(const double* value) { return exact(*value); }
std::string toml_of(const bool* value) { return *value ? "true" : "false"; }
std::string toml_of(const std::string* value) { return quoted(*value); }

const char* type_of(const int64_t*) { return "whole number"; }
const char* type_of(const double*) { return "number"; }
const char* type_of(const bool*) { return "true or false"; }
const char* type_of(const std::string*) { return "text"; }

std::string toml_of(const Field& field) {
  return std::visit([](const auto* value) { return toml_of(value); }, field.value);
}

}  // namespace

std::string to_toml(const Config& config) {
  Config copy = config;
  std::string text, section;
  for (const Field& field : fields_of(copy)) {
    if (field.section != section) text += concat(section.empty() ? "" : "\n", "[", field.section, "]\n");
    section = field.section;
    text += concat(field.name, " = ", toml_of(field), "\n");
  }
  return text;
}

std::string option_table() {
  Config defaults;
  std::string text, section;
  for (const Field& field : fields_of(defaults)) {
    if (field.section != section)
      text += concat(section.empty() ? "" : "\n", "### [", field.section,
                     "]\n\n| option | type | default | meaning |\n|---|---|---|---|\n");
    section = field.section;
    const char* type = std::visit([](const auto* value) { return type_of(value); }, field.value);
    text += concat("| `", field.name, "` | ", type, " | `", toml_of(field), "` | ", field.help, " |\n");
  }
  return text;
}

}  // namespace rmoe
