#include "train/command_data.hpp"

#include "data/sources.hpp"
#include "train/progress.hpp"

#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  std::string name, folder;
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

  add_data_stat(*data, run);
  add_data_prepare(*data, run);
}

}  // namespace rmoe
