// Where the text comes from and how it becomes tokens.
#pragma once

#include <cstdint>
#include <string>

namespace rmoe {

struct DataConfig {
  std::string path;
  std::string tokens = "byte";
  std::string newline = "eos";
  double valid_share = 0.05;
  double test_share = 0.05;

  template <class Visitor>
  void fields(Visitor& field) {
    field("path", path,
          "a file or folder of text; a folder with train/valid/test files keeps its own split; a folder of "
          "shards "
          "(\"rmoe data prepare\", llm.c, nanoGPT), or several with weights: \"DIR:0.7, DIR:0.3\"");
    field("tokens", tokens,
          "\"byte\", \"word\" (white-space separated, <eos> at each line end), or the path of a tokenizer; "
          "prepared shards bring "
          "theirs");
    field("newline", newline,
          "bytes only: newline is \"eos\" (enwik8's rule, <eos> token), \"byte\" or \"drop\"");
    field("valid_share", valid_share,
          "share of the end of the text kept for validation, before the test share");
    field("test_share", test_share, "share of the end of the text kept for testing");
  }
};

}  // namespace rmoe
