#include "data/tokenizer/added_tokens.hpp"

#include "data/tokenizer/unicode.hpp"

#include <algorithm>

namespace rmoe {
namespace {

using unicode::Class;

size_t space_begin(std::string_view text, size_t from, size_t end) {
  size_t begin = end;  // of the white space that ends at `end`
  for (size_t i = from; i < end;) {
    const unicode::Classified c = unicode::classify(text, i);
    i += c.bytes;
    if (c.kind != Class::space)
      begin = end;
    else if (begin == end)
      begin = i - c.bytes;
  }
  return begin;
}

size_t space_end(std::string_view text, size_t i) {
  while (i < text.size()) {
    const unicode::Classified c = unicode::classify(text, i);
    if (c.kind != Class::space) break;
    i += c.bytes;
  }
  return i;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
  for (size_t k = 0; k < tokens_.size(); ++k)
    if (!tokens_[k].content.empty()) by_byte_[uint8_t(tokens_[k].content[0])].push_back(int32_t(k));
}

const AddedToken* AddedTokens::longest_at(std::string_view text, size_t i) const {
  for (const int32_t k : by_byte_[uint8_t(text[i])])
    if (text.substr(i).starts_with(tokens_[k].content)) return &tokens_[k];
  return nullptr;
}

void AddedTokens::split(std::string_view text, const std::function<void(std::string_view)>& on_text,
                        const std::function<void(int32_t)>& on_token) const {
  size_t done = 0;
  for (size_t i = tokens_.empty() ? text.size() : 0; i < text.size();) {
    const AddedToken* token = longest_at(text, i);
    if (token == nullptr) {
      ++i;
      continue;
    }
    const size_t begin = token->lstrip ? space_begin(text, done, i) : i;
    i += token->content.size();
    if (begin > done) on_text(text.substr(done, begin - done));
    on_token(token->id);
    done = i = token->rstrip ? space_end(text, i) : i;
  }
  if (done < text.size()) on_text(text.substr(done));
}

}  // namespace rmoe
