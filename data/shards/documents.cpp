#include "data/shards/documents.hpp"

#include "data/archive.hpp"
#include "engine/error.hpp"
#include "engine/files.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlock = 1 << 20;
constexpr size_t kLongest = size_t{1} << 30;  // bytes of a document: it is held in memory

bool is_one_of(const fs::path& extension, std::initializer_list<const char*> known) {
  return std::ranges::any_of(known, [&](const char* name) { return extension == name; });
}

InputFile describe(const fs::path& path) {
  InputFile input{path, int64_t(fs::file_size(path))};
  input.compressed = is_one_of(path.extension(), {".gz", ".bz2", ".xz", ".zst"});
  const fs::path plain = input.compressed ? path.stem() : path;
  input.json = is_one_of(plain.extension(), {".jsonl", ".ndjson", ".json"});
  return input;
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (auto entry = fs::recursive_directory_iterator(folder); entry != fs::end(entry); ++entry) {
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (hidden && entry->is_directory()) entry.disable_recursion_pending();
    if (!hidden && entry->is_regular_file()) paths.push_back(entry->path());
  }
  RMOE_CHECK(!paths.empty(), "data: folder ", folder.string(), " holds no files");
  std::ranges::sort(paths, {}, [](const fs::path& path) { return path.generic_string(); });
  return paths;
}

std::string_view without_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

std::vector<InputFile> find_inputs(const std::vector<std::string>& paths) {
  std::vector<InputFile> inputs;
  for (const fs::path path : paths) {
    RMOE_CHECK(fs::exists(path), "data: no file or folder ", path.string());
    RMOE_CHECK(fs::is_directory(path) || fs::is_regular_file(path), "data: ", path.string(),
               " is neither a file nor a folder");
    if (!fs::is_directory(path)) {
      inputs.push_back(describe(path));
      continue;
    }
    for (const fs::path& file : files_in(path)) inputs.push_back(describe(file));
  }
  return inputs;
}

/// One file, decompressed, line by line.
class DocumentReader::File {
 public:
  explicit File(const InputFile& input) : path_(input.path) {
    if (input.compressed)
      compressed_.emplace(input.path);
    else
      plain_.emplace(input.path);
  }

  /// To be called before anything is read.
  void skip(int64_t bytes) {
    offset_ = bytes;
    if (plain_) return plain_->skip(bytes);
    while (bytes > 0) {
      const size_t n = read(buffer_, size_t(std::min(bytes, int64_t(kBlock))));
      RMOE_CHECK(n > 0, "data: ", path_.string(), " ends before byte ", offset_, ", where a document was");
      bytes -= int64_t(n);
    }
    buffer_.clear();
  }

  /// The next line with its "\n", if it has one; false at the end of the file. A view until the next call.
  bool line(std::string_view& line) {
    size_t searched = begin_;
    for (;;) {
      const size_t end = buffer_.find('\n', searched);
      if (end != buffer_.npos) return take(end + 1, line);
      searched = buffer_.size() - begin_;
      buffer_.erase(0, std::exchange(begin_, 0));
      RMOE_CHECK(buffer_.size() <= kLongest, "data: ", path_.string(), ": the line at byte ", offset_,
                 " has over ", kLongest, " bytes");
      if (read(more_, kBlock) == 0) return !buffer_.empty() && take(buffer_.size(), line);
      buffer_ += more_;
    }
  }

  int64_t offset() const { return offset_; }
  int64_t bytes_done() const { return plain_ ? plain_->position() : compressed_->position(); }

 private:
  bool take(size_t end, std::string_view& line) {
    line = std::string_view(buffer_).substr(begin_, end - begin_);
    offset_ += int64_t(line.size());
    begin_ = end;
    return true;
  }

  /// At most `bytes` more of the file in place of what `to` holds.
  size_t read(std::string& to, size_t bytes) {
    if (plain_) bytes = std::min(bytes, size_t(plain_->bytes() - plain_->position()));
    to.resize(bytes);
    if (plain_)
      plain_->read(to.data(), int64_t(bytes));
    else
      to.resize(compressed_->read(to.data(), bytes));
    return to.size();
  }

  fs::path path_;
  std::optional<files::Reader> plain_;
  std::optional<Decompressor> compressed_;
  std::string buffer_, more_;
  size_t begin_ = 0;    // of the next line in the buffer
  int64_t offset_ = 0;  // of the next line in the file
};

DocumentReader::DocumentReader(const std::vector<InputFile>& inputs, Documents documents, Position start)
    : inputs_(inputs), documents_(documents), position_(start) {
  for (int64_t i = 0; i < start.file; ++i) bytes_before_ += inputs_[size_t(i)].bytes;
}

DocumentReader::~DocumentReader() = default;

int64_t DocumentReader::bytes_done() const { return bytes_before_ + (file_ ? file_->bytes_done() : 0); }

/// Opens the file at the position, if there is one.
bool DocumentReader::open() {
  if (file_) return true;
  if (position_.file == int64_t(inputs_.size())) return false;
  const InputFile& input = inputs_[size_t(position_.file)];
  if (input.bytes == 0) return true;  // no compressor makes such a file either: nothing to open
  file_ = std::make_unique<File>(input);
  if (position_.offset > 0) file_->skip(position_.offset);
  return true;
}

bool DocumentReader::next(Document& document) {
  while (open()) {
    document.begin = position_;
    document.json = inputs_[size_t(position_.file)].json;
    if (file_ && next_in_file(document)) {
      position_.offset = file_->offset();
      document.end = position_;
      return true;
    }
    file_.reset();
    bytes_before_ += inputs_[size_t(position_.file)].bytes;
    position_ = {position_.file + 1, 0};
  }
  return false;
}

bool DocumentReader::next_in_file(Document& document) {
  document.text.clear();
  const Documents kind = document.json ? Documents::line : documents_;
  for (std::string_view line; file_->line(line);) {
    const bool blank = without_end(line).empty();
    if (kind == Documents::file || !blank) {
      document.text += kind == Documents::line ? without_end(line) : line;
      RMOE_CHECK(document.text.size() <= kLongest, "data: ", inputs_[size_t(position_.file)].path.string(),
                 ": a document has over ", kLongest, " bytes: split it, or see --documents");
    }
    const bool ends = kind == Documents::line || (kind == Documents::blank_line && blank);
    if (ends && !document.text.empty()) return true;
  }
  return !document.text.empty();
}

std::string text_of_json(const std::string& json, const std::string& field, const std::string& where) {
  nlohmann::json document;
  try {
    document = nlohmann::json::parse(json);
  } catch (const nlohmann::json::parse_error& error) {
    fail(where, ": not JSON at byte ", error.byte, " of its line");
  } catch (const nlohmann::json::out_of_range&) {
    fail(where, ": its JSON has a number that is too large");
  }
  RMOE_CHECK(document.is_object(), where, ": wanted a JSON object, got ", document.type_name());
  const auto found = document.find(field);
  RMOE_CHECK(found != document.end(), where, ": the JSON object has no \"", field,
             "\": name another with --field");
  RMOE_CHECK(found->is_string(), where, ": \"", field, "\" is ", found->type_name(), ", wanted a string");
  return found->get<std::string>();
}

}  // namespace rmoe
