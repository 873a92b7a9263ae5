#include "data/sources.hpp"
#include "data/stats.hpp"
#include "train/commands.hpp"
#include "train/progress.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  std::string name, folder;
  DataConfig data;
};

std::string source_list() {
  std::string text = "known sources:";
  for (const Source& s : sources()) text += fmt::format("\n  {:<14} {} ({})", s.name, s.about, s.licence);
  return text;
}

int run_get(const Options& o) {
  const std::string folder = o.folder.empty() ? "corpora/" + o.name : o.folder;
  ProgressLine line(1);
  const Progress progress{
      [&](const std::string& text) { line.say(text); },
      [&](const std::string& what, int64_t done, int64_t all) { line.count(what, done, all); }};
  fmt::print("data.path = \"{}\"\n", get_source(o.name, folder, progress).string());
  return 0;
}

int run_stat(const Options& o) {
  const CorpusStats s = stats_of(load_corpus(o.data));
  fmt::print("{}: {} bytes, {} symbols\n", o.data.path, s.bytes, s.vocabulary);
  fmt::print("tokens: train {}, valid {}, test {}\n", s.train_tokens, s.valid_tokens, s.test_tokens);
  fmt::print("most frequent:");
  for (const auto& [symbol, count] : s.frequent)
    fmt::print("  {} {:.2f} %", symbol, 100.0 * double(count) / double(s.train_tokens));
  fmt::print("\nentropy of single tokens: {:.4f} bits (a model that has learned anything is below)\n",
             s.unigram_bits);
  if (const std::string text = compare_with_published(s, o.data); !text.empty()) fmt::print("{}\n", text);
  fmt::print("fingerprint {}\n", s.fingerprint);
  return 0;
}

}  // namespace

void add_data(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* data = app.add_subcommand("data", "Get corpora and look at them");
  data->require_subcommand(1);

  CLI::App* get = data->add_subcommand("get", "Download or extract a corpus, check it, unpack it");
  get->add_option("NAME", o->name, "see below")->required();
  get->add_option("--dir", o->folder, "where to; default corpora/NAME");
  get->footer(source_list());
  get->callback([o, &run] { run = [o] { return run_get(*o); }; });

  CLI::App* stat = data->add_subcommand("stat", "Splits, vocabulary and entropy of a corpus");
  stat->add_option("PATH", o->data.path, "a file or folder of text")->required();
  stat->add_option("--tokens", o->data.tokens, "byte, word, or the path of a tokenizer");
  stat->add_option("--newline", o->data.newline, "eos, byte or drop")
      ->check(CLI::IsMember({"eos", "byte", "drop"}));
  stat->callback([o, &run] { run = [o] { return run_stat(*o); }; });
}

}  // namespace rmoe
