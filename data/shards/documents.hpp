// Reading text and JSONL files as a sequence of documents, from any place in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace rmoe {

/// What a document is. A file of JSON lines (.jsonl, .ndjson, .json) holds one a line whatever is chosen
/// here.
enum class Documents { file, blank_line, line };

struct InputFile {
  std::filesystem::path path;
  int64_t bytes = 0;  // on disk
  bool json = false, compressed = false;
};

/// The files meant by these files and folders: those of a folder sorted by path, hidden ones left out.
std::vector<InputFile> find_inputs(const std::vector<std::string>& paths);

/// Before the document that begins at `offset` (of the decompressed text) in file number `file`.
struct Position {
  int64_t file = 0, offset = 0;
  bool operator==(const Position&) const = default;
};

struct Document {
  std::string text;  // as it stands in the file: JSON is not yet read
  Position begin, end;
  bool json = false;
};

class DocumentReader {
 public:
  /// `inputs` must outlive the reader.
  DocumentReader(const std::vector<InputFile>& inputs, Documents documents, Position start);
  ~DocumentReader();

  /// The next document; false behind the last.
  bool next(Document& document);
  /// Bytes on disk behind us.
  int64_t bytes_done() const;

 private:
  class File;
  bool open();
  bool next_in_file(Document& document);

  const std::vector<InputFile>& inputs_;
  Documents documents_;
  Position position_;
  int64_t bytes_before_ = 0;  // of files that are finished
  std::unique_ptr<File> file_;
};

/// The string member `field` of a document that is a JSON object; `where` names it in an error.
std::string text_of_json(const std::string& json, const std::string& field, const std::string& where);

}  // namespace rmoe
