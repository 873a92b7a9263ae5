#include "data/tokenizer/training_text.hpp"

#include "engine/error.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <numeric>

namespace rmoe {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

/// Keeps the pieces with the lowest random numbers.
class Sample {
 public:
  Sample(int64_t bytes, uint64_t seed) : most_(bytes), seed_(seed) {}

  void add(std::string_view piece) {
    const uint64_t key = mix(seed_, count_++);
    if (!heap_.empty() && bytes_ + int64_t(piece.size()) > most_ && key > heap_.front().key) return;
    heap_.push_back({key, count_, std::string(piece)});
    std::push_heap(heap_.begin(), heap_.end());
    bytes_ += int64_t(piece.size());
    while (bytes_ > most_) {
      std::pop_heap(heap_.begin(), heap_.end());
      bytes_ -= int64_t(heap_.back().text.size());
      heap_.pop_back();
    }
  }

  std::vector<std::string> take() {
    std::sort(heap_.begin(), heap_.end(), [](const Kept& a, const Kept& b) { return a.place < b.place; });
    std::vector<std::string> texts;
    for (Kept& kept : heap_) texts.push_back(std::move(kept.text));
    return texts;
  }

 private:
  struct Kept {
    uint64_t key, place;
    std::string text;
    bool operator<(const Kept& other) const { return key < other.key; }
  };

  int64_t most_, bytes_ = 0;
  uint64_t seed_, count_ = 0;
  std::vector<Kept> heap_;  // the highest number on top
};

/// A single space: every way of cutting words cuts there.
bool begins_word(std::string_view text, size_t i) {
  const auto is_sign = [](char c) { return c > ' ' && c < '\x7F'; };
  return text[i] == ' ' && is_sign(text[i - 1]) && i + 1 < text.size() && is_sign(text[i + 1]);
}

/// Where the piece ends that begins at `begin`: at a word if it holds one, not inside a character if
/// possible.
size_t piece_end(std::string_view text, size_t begin) {
  if (text.size() - begin <= kPieceBytes) return text.size();
  for (size_t end = begin + kPieceBytes; end > begin; --end)
    if (begins_word(text, end)) return end;
  size_t end = begin + kPieceBytes;
  while (end > begin + 1 && (text[end] & 0xC0) == 0x80) --end;
  return end;
}

}  // namespace

std::vector<std::string> read_training_text(const TrainingText& wanted, const Progress& progress) {
  const std::vector<InputFile> inputs = find_inputs(wanted.inputs);
  const int64_t total = std::accumulate(inputs.begin(), inputs.end(), int64_t{0},
                                        [](int64_t sum, const InputFile& file) { return sum + file.bytes; });
  Sample sample(wanted.bytes, wanted.seed);
  DocumentReader reader(inputs, wanted.documents, {});
  for (Document document; reader.next(document);) {
    const std::string where =
        concat(inputs[size_t(document.begin.file)].path.string(), " at byte ", document.begin.offset);
    const std::string text =
        document.json ? text_of_json(document.text, wanted.field, where) : std::move(document.text);
    for (size_t begin = 0, end; begin < text.size(); begin = end) {
      end = piece_end(text, begin);
      sample.add(std::string_view(text).substr(begin, end - begin));
    }
    if (progress.bytes) progress.bytes("reading, bytes", reader.bytes_done(), total);
  }
  std::vector<std::string> texts = sample.take();
  RMOE_CHECK(!texts.empty(), "tokenizer: there is no text to learn from in ", wanted.inputs.front(),
             wanted.bytes < int64_t(kPieceBytes) ? ": --input-bytes is too small" : "");
  return texts;
}

}  // namespace rmoe
