#include "data/shards/encode.hpp"

#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "engine/random.hpp"

#include <exception>

namespace rmoe {
namespace {

constexpr size_t kPiece = 1 << 20;  // bytes of a long document that are encoded at once, or a line more
constexpr size_t kTask = 1 << 16;   // bytes of short pieces that make one task, or a piece more

/// parallel_for whose tasks may throw: the exception of the first one that did comes out.
template <class F>
void parallel_tasks(int64_t n, F&& f) {
  std::vector<std::exception_ptr> errors(static_cast<size_t>(n));
  parallel_for(n, [&](int64_t i) {
    try {
      f(i);
    } catch (...) {
      errors[size_t(i)] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

struct Piece {
  size_t document, number;
  std::string_view text;
};

/// Where the piece of a text that begins at `begin` ends.
size_t end_of_piece(std::string_view text, size_t begin) {
  if (text.size() - begin <= kPiece) return text.size();
  const size_t line_end = text.find('\n', begin + kPiece);
  return line_end == text.npos ? text.size() : line_end + 1;
}

/// Task i holds pieces [result[i], result[i + 1]).
std::vector<size_t> cut_into_tasks(const std::vector<Piece>& pieces) {
  std::vector<size_t> ends{0};
  size_t bytes = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    bytes += pieces[i].text.size();
    if (bytes < kTask && i + 1 < pieces.size()) continue;
    ends.push_back(i + 1);
    bytes = 0;
  }
  return ends;
}

}  // namespace

std::vector<Encoded> encode(std::vector<Document> documents, const Tokenizer& tokenizer,
                            const std::string& field, const std::vector<InputFile>& inputs) {
  const auto place = [&](const Document& d) {
    return concat("data: ", inputs[size_t(d.begin.file)].path.string(), " at byte ", d.begin.offset);
  };
  std::vector<Encoded> encoded(documents.size());
  parallel_tasks(int64_t(documents.size()), [&](int64_t i) {
    Document& d = documents[size_t(i)];
    if (d.json) d.text = text_of_json(d.text, field, place(d));
    if (!d.json && d.text.find('\0') != d.text.npos) fail(place(d), ": not text: a byte is 0");
    encoded[size_t(i)] = {d.begin, d.end, hash(d.text), int64_t(d.text.size()), {}};
  });
  std::vector<Piece> pieces;
  for (size_t i = 0; i < documents.size(); ++i) {
    const std::string_view text = documents[i].text;
    for (size_t begin = 0, end; begin < text.size(); begin = end) {
      end = end_of_piece(text, begin);
      pieces.push_back({i, encoded[i].pieces.size(), text.substr(begin, end - begin)});
      encoded[i].pieces.emplace_back();
    }
  }
  const std::vector<size_t> tasks = cut_into_tasks(pieces);
  parallel_tasks(int64_t(tasks.size()) - 1, [&](int64_t task) {
    for (size_t i = tasks[size_t(task)]; i < tasks[size_t(task) + 1]; ++i) {
      const Piece& piece = pieces[i];
      try {
        encoded[piece.document].pieces[piece.number] = tokenizer.encode(piece.text);
      } catch (const Error& error) {
        fail(place(documents[piece.document]), ": ", error.what());
      }
    }
  });
  return encoded;
}

}  // namespace rmoe
