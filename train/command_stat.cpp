#include "data/shards/manifest.hpp"
#include "data/shards/shard_corpus.hpp"
#include "data/shards/shard_folder.hpp"
#include "data/stats.hpp"
#include "train/command_data.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  DataConfig data;
  bool verify = false;
};

int stat_text(const DataConfig& data) {
  const CorpusStats s = stats_of(load_corpus(data));
  fmt::print("{}: {} bytes, {} symbols\n", data.path, s.bytes, s.vocabulary);
  fmt::print("tokens: train {}, valid {}, test {}\n", s.train_tokens, s.valid_tokens, s.test_tokens);
  fmt::print("most frequent:");
  for (const auto& [symbol, count] : s.frequent)
    fmt::print("  {} {:.2f} %", symbol, 100.0 * double(count) / double(s.train_tokens));
  fmt::print("\nentropy of single tokens: {:.4f} bits (a model that has learned anything is below)\n",
             s.unigram_bits);
  if (const std::string text = compare_with_published(s, data); !text.empty()) fmt::print("{}\n", text);
  fmt::print("fingerprint {}\n", s.fingerprint);
  return 0;
}

bool verify(const ShardFolder& folder) {
  ProgressLine line(1);
  int64_t done = 0, all = 0;
  for (const auto& split : folder.splits) all += int64_t(split.size());
  for (const auto& split : folder.splits)
    for (const ShardFile& shard : split) {
      line.count("checking shard", ++done, all);
      shard.verify();
      if (stop_requested()) return false;
    }
  return true;
}

int stat_shards(const MixturePart& part, const Options& o) {
  const ShardFolder folder = open_shards(part.folder, o.data.tokens);
  const Tokenizer& tokenizer = *folder.tokenizer;
  fmt::print("{}: tokenizer {}, {} tokens, sha256 {}\n", part.folder, tokenizer.file_name(), tokenizer.size(),
             sha256(tokenizer.file_bytes()));
  fmt::print("{:<6} {:>8} {:>16} {:>12} {:>12} {:>12}\n", "split", "shards", "tokens", "documents", "mean",
             "longest");
  for (size_t i = 0; i < kSplits.size(); ++i) {
    const SplitStats s = stats_of(folder.splits[i]);
    if (s.documents > 0)
      fmt::print("{:<6} {:>8} {:>16} {:>12} {:>12.1f} {:>12}\n", kSplits[i], s.shards, s.tokens, s.documents,
                 double(s.tokens) / double(s.documents), s.longest);
    else
      fmt::print("{:<6} {:>8} {:>16} {:>12} {:>12} {:>12}\n", kSplits[i], s.shards, s.tokens, "-", "-", "-");
  }
  if (o.verify) {
    if (!verify(folder)) return kInterrupted;
    fmt::print("all shards are intact\n");
  }
  fmt::print("fingerprint {}\n", folder.fingerprint);
  return 0;
}

int run_stat(const Options& o) {
  watch_stop_signals();
  const std::vector<MixturePart> parts = shards_meant_by(o.data.path);
  if (parts.empty() && o.verify)
    throw UsageError(concat("data stat --verify: ", o.data.path, " is no folder of shards"));
  if (parts.empty()) return stat_text(o.data);
  for (const MixturePart& part : parts)
    if (const int code = stat_shards(part, o); code != 0) return code;
  return 0;
}

}  // namespace

void add_data_stat(CLI::App& data, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* stat =
      data.add_subcommand("stat", "Splits, vocabulary and entropy of a corpus; documents of shards");
  stat->add_option("PATH", o->data.path, "a file or folder of text, or a folder of shards")->required();
  stat->add_option("--tokens", o->data.tokens, "byte, word, or the path of a tokenizer");
  stat->add_option("--newline", o->data.newline, "eos, byte or drop")
      ->check(CLI::IsMember({"eos", "byte", "drop"}));
  stat->add_flag("--verify", o->verify, "read all shards and compare their checksums");
  stat->callback([o, &run] { run = [o] { return run_stat(*o); }; });
}

}  // namespace rmoe
