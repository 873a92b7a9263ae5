#include "train/config.hpp"

#include "engine/error.hpp"
#include "engine/files.hpp"
#include "train/fields.hpp"

#include <algorithm>
#include <numeric>
#include <set>
// The parser asserts before it checks, so that a text like "[=]" would end the program. Without its
// assertions it reports the mistake with its line.
#define TOML_ASSERT(condition) static_assert(true)
#include <toml++/toml.h>

namespace rmoe {
namespace {

/// How many letters must be inserted, removed or replaced to turn a into b (Levenshtein).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t(0));
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

const char* wanted_of(const int64_t*) { return "a whole number"; }
const char* wanted_of(const double*) { return "a number"; }
const char* wanted_of(const bool*) { return "true or false"; }
const char* wanted_of(const std::string*) { return "a text in quotes"; }

std::string text_of(const toml::node& node) {
  if (node.is_table()) return "a table";
  if (node.is_array()) return "a list";
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  return text.str();
}

/// Takes values from TOML into the fields and notes what does not fit.
class Reader {
 public:
  Reader(std::vector<Field>& fields, std::vector<std::string>& problems)
      : fields_(fields), problems_(problems) {}

  void read(const toml::table& root, const std::string& origin);
  void override_with(const std::string& text);

 private:
  void read_section(const std::string& section, const toml::table& table, const std::string& origin);
  Field* find(std::string_view section, std::string_view name);
  void assign_text(Field& field, const std::string& value, const std::string& where);
  void assign(Field& field, const toml::node& node, const std::string& where);
  void unknown_section(const std::string& what, const std::string& section, const std::string& where);
  void unknown_key(const std::string& section, const std::string& name, const std::string& where);
  std::set<std::string> sections() const;

  std::vector<Field>& fields_;
  std::vector<std::string>& problems_;
};

std::string line_of(const std::string& origin, const toml::source_region& region) {
  return concat(origin, ":", region.begin.line, ": ");
}

void Reader::read(const toml::table& root, const std::string& origin) {
  for (const auto& [key, node] : root) {
    const std::string section(key.str()), where = line_of(origin, key.source());
    if (!sections().contains(section))
      unknown_section(node.is_table() ? "section" : "key", section, where);
    else if (const toml::table* table = node.as_table())
      read_section(section, *table, origin);
    else
      problems_.push_back(concat(where, section, ": wanted a section [", section, "], got ", text_of(node)));
  }
}

void Reader::read_section(const std::string& section, const toml::table& table, const std::string& origin) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str()), where = line_of(origin, key.source());
    if (Field* field = find(section, name))
      assign(*field, node, where);
    else
      unknown_key(section, name, where);
  }
}

void Reader::override_with(const std::string& text) {
  const std::string where = concat("--set ", text, ": ");
  const size_t equals = text.find('='), dot = text.find('.');
  if (equals == std::string::npos || dot > equals) {
    problems_.push_back(where + "wanted SECTION.NAME=VALUE");
    return;
  }
  const std::string section = text.substr(0, dot), name = text.substr(dot + 1, equals - dot - 1);
  if (!sections().contains(section))
    unknown_section("section", section, where);
  else if (Field* field = find(section, name))
    assign_text(*field, text.substr(equals + 1), where);
  else
    unknown_key(section, name, where);
}

void Reader::assign_text(Field& field, const std::string& value, const std::string& where) {
  const bool bare = std::holds_alternative<std::string*>(field.value) && !value.starts_with('"');
  if (bare) return assign(field, toml::value<std::string>(value), where);
  try {
    const toml::table parsed = toml::parse("value = " + value);
    assign(field, *parsed.get("value"), where);
  } catch (const toml::parse_error&) {  // not TOML: report it as the text it is
    assign(field, toml::value<std::string>(value), where);
  }
}

Field* Reader::find(std::string_view section, std::string_view name) {
  const auto found = std::ranges::find_if(
      fields_, [&](const Field& field) { return field.section == section && field.name == name; });
  return found == fields_.end() ? nullptr : &*found;
}

void Reader::assign(Field& field, const toml::node& node, const std::string& where) {
  field.where = where;
  std::visit(
      [&]<class T>(T* place) {
        const bool fits = std::is_same_v<T, double> ? node.is_number() : node.is<T>();
        // A whole number too large for a double has no value as one.
        if (const auto value = node.value<T>(); fits && value)
          *place = *value;
        else
          problems_.push_back(
              concat(where, field.key(), ": wanted ", wanted_of(place), ", got ", text_of(node)));
      },
      field.value);
}

std::set<std::string> Reader::sections() const {
  std::set<std::string> names;
  for (const Field& field : fields_) names.insert(field.section);
  return names;
}

void Reader::unknown_section(const std::string& what, const std::string& section, const std::string& where) {
  const std::set<std::string> names = sections();
  const auto same_name = std::ranges::find(fields_, section, &Field::name);
  const std::string nearest = same_name != fields_.end()
                                  ? same_name->key()  // a key outside of its section
                                  : "[" + *std::ranges::min_element(names, {}, [&](auto& name) {
                                      return edit_distance(section, name);
                                    }) + "]";
  problems_.push_back(concat(where, "unknown ", what, " ", section, "; did you mean ", nearest, "?"));
}

void Reader::unknown_key(const std::string& section, const std::string& name, const std::string& where) {
  // The most similar name; one in the same section wins a tie.
  const auto nearest = std::ranges::min_element(fields_, {}, [&](const Field& field) {
    return std::pair(edit_distance(name, field.name), field.section != section);
  });
  problems_.push_back(
      concat(where, "unknown key ", section, ".", name, "; did you mean ", nearest->key(), "?"));
}

}  // namespace

Config parse_config(std::string_view text, const std::string& origin,
                    const std::vector<std::string>& overrides, const Config& base) {
  Config config = base;
  std::vector<Field> fields = fields_of(config);
  std::vector<std::string> problems;
  Reader reader(fields, problems);
  try {
    reader.read(toml::parse(text), origin);
  } catch (const toml::parse_error& error) {  // nothing after it can be trusted
    throw UsageError(line_of(origin, error.source()) + std::string(error.description()));
  }
  for (const std::string& text : overrides) reader.override_with(text);
  check_values(config, fields, problems);
  if (problems.empty()) return config;
  std::string all = problems[0];
  for (size_t i = 1; i < problems.size(); ++i) all += "\n" + problems[i];
  throw UsageError(all);
}

Config load_config(const std::filesystem::path& path, const std::vector<std::string>& overrides,
                   const Config& base) {
  return parse_config(files::read(path), path.string(), overrides, base);
}

}  // namespace rmoe
