#include "data/shards/prepare.hpp"
#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "train/command_data.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

#include <charconv>
#include <chrono>
#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  PrepareOptions prepare;
  std::string tokenizer, documents = "file";
  std::vector<std::string> splits;
  int threads = 0;
};

/// valid=0.005
void read_split(const std::string& text, PrepareOptions& o) {
  const size_t equals = text.find('=');
  const std::string name = text.substr(0, equals);
  double share = -1;
  if (equals != text.npos) {
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data() + equals + 1, end, share).ptr != end) share = -1;
  }
  if ((name != "valid" && name != "test") || !(share >= 0 && share < 1))
    throw UsageError(
        concat("--split ", text, ": wanted valid=SHARE or test=SHARE with a share from 0 to below 1"));
  (name == "valid" ? o.valid_share : o.test_share) = share;
}

Documents documents_of(const std::string& name) {
  return name == "line" ? Documents::line : name == "blank-line" ? Documents::blank_line : Documents::file;
}

int run_prepare(Options o) {
  if (o.threads > 0) set_thread_count(o.threads);
  for (const std::string& split : o.splits) read_split(split, o.prepare);
  if (o.prepare.valid_share + o.prepare.test_share >= 1)
    throw UsageError("--split: valid and test leave nothing to train on");
  o.prepare.documents = documents_of(o.documents);
  const TokenizerPtr tokenizer = o.tokenizer == "byte" ? byte_tokenizer() : load_tokenizer(o.tokenizer);
  watch_stop_signals();
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  PrepareResult result;
  {
    ProgressLine line(1);
    result = prepare(o.prepare, tokenizer, [&](const PrepareProgress& p) {
      line.count(fmt::format("{:.1f} M tokens, {:.2f} M/s; byte", double(p.tokens) * 1e-6,
                             double(p.tokens) * 1e-6 / seconds()),
                 p.bytes_done, p.bytes);
      return !stop_requested();
    });
  }
  const std::string out = o.prepare.out.string();
  if (!result.complete) {
    fmt::print("stopped and saved; the same command goes on\n");
    return kInterrupted;
  }
  if (result.tokens == 0)
    fmt::print("nothing to do: {} is finished\n", out);
  else
    fmt::print("{} tokens in {:.1f} s ({:.2f} M tokens/s)\n", result.tokens, seconds(),
               double(result.tokens) * 1e-6 / seconds());
  fmt::print("data.path = \"{}\"\n", out);
  return 0;
}

}  // namespace

void add_data_prepare(CLI::App& data, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command =
      data.add_subcommand("prepare", "Turn text into shards of tokens; started again, it goes on");
  command
      ->add_option(
          "INPUT", o->prepare.inputs,
          "text, JSON lines (.jsonl, .ndjson, .json) and folders of them, also as .gz, .bz2, .xz, .zst")
      ->required();
  command->add_option("--tokenizer", o->tokenizer, "path of a tokenizer, or byte")->required();
  command->add_option("--out", o->prepare.out, "folder for the shards")->required();
  command->add_option("--field", o->prepare.field, "member of a JSON object that holds its text")
      ->capture_default_str();
  command
      ->add_option("--documents", o->documents, "what a document of a text file is: file, blank-line or line")
      ->check(CLI::IsMember({"file", "blank-line", "line"}))
      ->capture_default_str();
  command
      ->add_option("--split", o->splits,
                   "share of the documents kept back: valid=0.005 (the default), test=0.005")
      ->type_name("NAME=SHARE");
  command
      ->add_option("--shard-tokens", o->prepare.shard_tokens,
                   "a shard ends with the document that reaches this")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--threads", o->threads, "threads; default: all processors")
      ->check(CLI::PositiveNumber);
  command->callback([o, &run] { run = [o] { return run_prepare(*o); }; });
}

}  // namespace rmoe
