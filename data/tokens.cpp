#include "data/tokens.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <limits>

namespace rmoe {
namespace {

constexpr int64_t kUnchecked = std::numeric_limits<int64_t>::max();

std::span<const uint32_t> unsigned_view(std::span<const int32_t> tokens) {
  return {reinterpret_cast<const uint32_t*>(tokens.data()), tokens.size()};
}

template <class Id>
uint32_t copy_ids(const Id* from, int64_t n, int32_t* out) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    out[i] = int32_t(from[i]);
    largest = std::max(largest, uint32_t(from[i]));
  }
  return largest;
}

[[noreturn]] void explain_bad_token(const Tokens::Piece& piece, int64_t begin, std::span<const int32_t> out) {
  const auto bad =
      std::ranges::find_if(out, [&](int32_t id) { return int64_t(uint32_t(id)) >= piece.vocabulary; });
  fail("data: ", piece.name, ": token ", begin + (bad - out.begin()), " is ", uint32_t(*bad),
       ", which is not in the vocabulary of ", piece.vocabulary,
       ": the file is damaged, or belongs to another tokenizer");
}

int64_t size_of(const Tokens::Piece& piece) {
  return std::visit([](const auto& ids) { return int64_t(ids.size()); }, piece.ids);
}

}  // namespace

Tokens::Tokens(std::vector<int32_t> tokens) {
  const auto owner = std::make_shared<const std::vector<int32_t>>(std::move(tokens));
  append(Piece{unsigned_view(*owner), kUnchecked, {}, owner});
}

Tokens Tokens::view(std::span<const int32_t> tokens) {
  Tokens view;
  view.append(Piece{unsigned_view(tokens), kUnchecked, {}, {}});
  return view;
}

void Tokens::append(Piece piece) {
  const int64_t n = size_of(piece);
  if (n == 0) return;
  ends_.push_back(size() + n);
  pieces_.push_back(std::move(piece));
}

void Tokens::append(const Tokens& other) {
  for (const Piece& piece : other.pieces_) append(piece);
}

void Tokens::copy(int64_t begin, std::span<int32_t> out) const {
  RMOE_CHECK(begin >= 0 && begin + int64_t(out.size()) <= size(), "data: tokens ", begin, " to ",
             begin + int64_t(out.size()), " of ", size(), " do not exist");
  size_t i = size_t(std::ranges::upper_bound(ends_, begin) - ends_.begin());
  for (; !out.empty(); ++i) {
    const Piece& piece = pieces_[i];
    const int64_t offset = begin - (i == 0 ? 0 : ends_[i - 1]);
    const auto now = out.first(size_t(std::min(int64_t(out.size()), ends_[i] - begin)));
    const uint32_t largest = std::visit(
        [&](const auto& ids) { return copy_ids(ids.data() + offset, int64_t(now.size()), now.data()); },
        piece.ids);
    if (int64_t(largest) >= piece.vocabulary) explain_bad_token(piece, offset, now);
    begin += int64_t(now.size());
    out = out.subspan(now.size());
  }
}

std::vector<int32_t> Tokens::to_vector() const {
  std::vector<int32_t> tokens(static_cast<size_t>(size()));
  copy(0, tokens);
  return tokens;
}

}  // namespace rmoe
