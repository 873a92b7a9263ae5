// A config as one flat list of fields: what everything that treats all options alike loops over.
#pragma once

#include "train/config.hpp"

#include <span>
#include <variant>

namespace rmoe {

struct Field {
  std::string section, name, help;
  std::variant<int64_t*, double*, bool*, std::string*> value;
  std::string where = {};  // "demo.toml:12: " once it was set there

  std::string key() const { return section + "." + name; }
};

inline std::vector<Field> fields_of(Config& config) {
  std::vector<Field> fields;
  auto add_section = [&](const char* section, auto& options) {
    auto add = [&](const char* name, auto& value, const char* help) {
      fields.push_back({section, name, help, &value});
    };
    options.fields(add);
  };
  config.sections(add_section);
  return fields;
}

/// Appends one line for every value that cannot be, alone or beside the others.
void check_values(const Config& config, std::span<const Field> fields, std::vector<std::string>& problems);

}  // namespace rmoe
