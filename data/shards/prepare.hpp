// `rmoe data prepare`: text becomes a folder of shards. Their bytes depend on the input and the settings
// alone, not on threads, and a run that was killed ends, when it is started again, with the bytes of one that
// was not.
#pragma once

#include "data/shards/documents.hpp"
#include "data/tokenizer/tokenizer.hpp"

#include <functional>

namespace rmoe {

struct PrepareOptions {
  std::vector<std::string> inputs;
  std::filesystem::path out;
  std::string field = "text";  // of a JSON document that holds its text
  Documents documents = Documents::file;
  double valid_share = 0.005, test_share = 0;  // of the documents, drawn by what is in them
  int64_t shard_tokens = int64_t{1} << 27;     // a shard ends with the document that reaches this
  int64_t commit_tokens = int64_t{1} << 24;    // at most so much work is lost
};

struct PrepareProgress {
  int64_t bytes_done = 0, bytes = 0;  // of the input on disk
  int64_t tokens = 0;                 // by this run
};

struct PrepareResult {
  bool complete = false;  // false: `go_on` ended it
  int64_t tokens = 0;     // by this run
};

/// `go_on` is asked now and then; false ends the run with everything so far saved.
PrepareResult prepare(const PrepareOptions& options, TokenizerPtr tokenizer,
                      const std::function<bool(const PrepareProgress&)>& go_on);

/// One token a byte and <eos>: 257 of them, whatever the text.
TokenizerPtr byte_tokenizer();

}  // namespace rmoe
