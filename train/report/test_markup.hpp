// Reads back what the library wrote: the elements of a piece of SVG or HTML, or an error where tags do not
// balance.
#pragma once

#include "engine/error.hpp"

#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace rmoe::report::test {

struct Element {
  std::string tag, text;  // the text directly inside, still escaped
  std::map<std::string, std::string> attributes;

  std::string attribute(const std::string& name) const {
    const auto found = attributes.find(name);
    return found == attributes.end() ? "" : found->second;
  }
  double number(const std::string& name) const {
    const std::string text = attribute(name);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    RMOE_CHECK(error == std::errc() && end == text.data() + text.size(), tag, ": ", name, "=\"", text,
               "\" is no number");
    return value;
  }
  /// Whether `name` is one of its classes.
  bool looks(const std::string& name) const {
    return (" " + attribute("class") + " ").find(" " + name + " ") != std::string::npos;
  }
};

inline Element parse_tag(std::string_view inside) {
  Element element;
  size_t at = std::min(inside.find(' '), inside.size());
  element.tag = inside.substr(0, at);
  while (at < inside.size()) {
    const size_t name = inside.find_first_not_of(' ', at), equals = inside.find("=\"", name);
    const size_t end = inside.find('"', equals == inside.npos ? equals : equals + 2);
    RMOE_CHECK(end != inside.npos, "a broken attribute in <", inside, ">");
    const std::string key(inside.substr(name, equals - name));
    RMOE_CHECK(element.attributes.emplace(key, inside.substr(equals + 2, end - equals - 2)).second, "two of ",
               key);
    at = end + 1;
  }
  return element;
}

inline std::vector<Element> parse(std::string_view markup) {
  std::vector<Element> elements;
  std::vector<size_t> open;
  while (!markup.empty()) {
    const size_t start = std::min(markup.find('<'), markup.size());
    if (!open.empty()) elements[open.back()].text += markup.substr(0, start);
    if (start == markup.size()) break;
    const size_t end = markup.find('>', start);
    RMOE_CHECK(end != markup.npos, "a tag does not end");
    std::string_view inside = markup.substr(start + 1, end - start - 1);
    markup.remove_prefix(end + 1);
    RMOE_CHECK(inside.find('<') == inside.npos, "'<' inside a tag");
    if (inside.starts_with("!DOCTYPE")) continue;
    if (inside.starts_with("/")) {
      RMOE_CHECK(!open.empty() && elements[open.back()].tag == inside.substr(1), "<", inside,
                 "> closes nothing");
      open.pop_back();
      continue;
    }
    const bool empty = inside.ends_with("/");
    if (empty) inside.remove_suffix(1);
    elements.push_back(parse_tag(inside));
    if (!empty && elements.back().tag != "meta") open.push_back(elements.size() - 1);
  }
  RMOE_CHECK(open.empty(), "<", elements[open.empty() ? 0 : open.back()].tag, "> is not closed");
  return elements;
}

}  // namespace rmoe::report::test
