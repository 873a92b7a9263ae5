#include "train/reproduce/plan.hpp"

#include "data/shards/shard_corpus.hpp"
#include "data/sources.hpp"
#include "engine/error.hpp"
#include "train/reproduce/finetuning.hpp"
#include "train/trainer.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>

namespace rmoe::reproduce {
namespace {

namespace fs = std::filesystem;

bool has_column(const PaperTable& table, Benchmark benchmark) {
  return std::ranges::any_of(table.columns,
                             [=](const Column& c) { return c.setting.benchmark == benchmark; });
}

/// Leaves the rows with these routers; differences are taken to the same row as before, if it is still there.
void keep_rows(PaperTable& table, const std::vector<std::string>& routers) {
  std::vector<std::string> names;
  for (const Row& row : table.rows)
    if (std::ranges::find(names, row.router) == names.end()) names.push_back(row.router);
  const std::string known = fmt::format("{}", fmt::join(names, ", "));
  for (const std::string& router : routers)
    if (std::ranges::find(table.rows, router, &Row::router) == table.rows.end())
      throw UsageError(concat("reproduce: ", table.name, " has no router \"", router, "\"; it has ", known));
  std::vector<Row> kept;
  std::map<size_t, size_t> moved;  // index before -> index now
  for (size_t i = 0; i < table.rows.size(); ++i) {
    if (std::ranges::find(routers, table.rows[i].router) == routers.end()) continue;
    moved[i] = kept.size();
    kept.push_back(table.rows[i]);
  }
  for (size_t i = 0; i < kept.size(); ++i)
    kept[i].baseline = moved.contains(kept[i].baseline) ? moved[kept[i].baseline] : i;
  table.rows = std::move(kept);
}

void check_overrides(const std::vector<std::string>& overrides, const PaperTable& table) {
  for (const std::string& text : overrides)
    if (is_of_tuning(text) && !table.needs_tuning())
      throw UsageError(concat("reproduce: --set ", text, ": ", table.name, " does not fine-tune"));
  const auto refuse = [&](const char* key, const char* option) {
    for (const std::string& text : overrides)
      if (text.starts_with(concat(key, "=")))
        throw UsageError(concat("reproduce: --set ", text, ": the table decides this; use ", option));
  };
  refuse("router.name", "--routers");
  refuse("train.seed", "--seeds");
  refuse("data.path", "--data");
}

std::string name_of_file(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).stem().string();
}

/// Of a mixture, those of its parts.
std::string name_of_text(const std::string& path) {
  std::string name;
  for (const MixturePart& part : shards_meant_by(path))
    name += (name.empty() ? "" : "+") + name_of_file(part.folder);
  return name.empty() ? name_of_file(path) : name;
}

void check_present(const DataConfig& data) {
  if (!shards_meant_by(data.path).empty() || fs::exists(data.path)) return;
  const std::string name = name_of_text(data.path);
  const bool known = std::ranges::find(sources(), name, &Source::name) != sources().end();
  fail("reproduce: there is no text at ", data.path, "; ",
       known ? concat("\"rmoe data get ", name, "\" fetches it, or name another with --data")
             : "name one with --data");
}

Text load_text(Benchmark stands_for, const std::string& path, const Request& request) {
  std::vector<std::string> overrides = request.overrides;
  std::erase_if(overrides, is_of_tuning);
  Text text{.stands_for = stands_for, .medium = load_config(path, overrides)};
  if (!request.data.empty()) text.medium.data.path = request.data;
  check_present(text.medium.data);
  text.name = name_of_text(text.medium.data.path);
  text.corpus = load_corpus(text.medium.data);
  fit_vocabulary(text.medium, text.corpus);
  return text;
}

/// One text stands for all columns that it can stand for: words for WikiText-103 where the table has it.
std::vector<Text> one_text(const std::string& path, const Request& request, const PaperTable& table) {
  std::vector<Text> texts;
  texts.push_back(load_text(Benchmark::enwik8, path, request));
  if (texts[0].words() && has_column(table, Benchmark::wikitext103))
    texts[0].stands_for = Benchmark::wikitext103;
  return texts;
}

std::vector<Text> load_texts(const Request& request, const Scale& scale, const PaperTable& table) {
  if (table.is_pretraining()) {
    std::vector<Text> texts;
    texts.push_back(
        load_text(Benchmark::pretraining, request.config.empty() ? scale.pretrain : request.config, request));
    return texts;
  }
  if (!request.config.empty()) return one_text(request.config, request, table);
  if (scale.wikitext.empty()) return one_text(scale.enwik8, request, table);
  const bool bytes = has_column(table, Benchmark::enwik8) || has_column(table, Benchmark::either);
  const bool words = has_column(table, Benchmark::wikitext103);
  if (bytes && words && !request.data.empty())
    throw UsageError(concat("reproduce: ", table.name, " needs two texts at this scale, so --data needs ",
                            "--config too, e.g. --config ", scale.enwik8));
  std::vector<Text> texts;
  if (bytes) texts.push_back(load_text(Benchmark::enwik8, scale.enwik8, request));
  if (words) texts.push_back(load_text(Benchmark::wikitext103, scale.wikitext, request));
  return texts;
}

/// The scale's own configs go by its name, others by theirs.
std::string label_of(const Request& request, const Scale& scale) {
  const fs::path name = fs::path(request.config).filename();
  const auto is = [&](const std::string& config) { return name == fs::path(config).filename(); };
  const bool own = request.config.empty() || is(scale.enwik8) || is(scale.wikitext) || is(scale.pretrain);
  return own ? scale.name : name.stem().string();
}

std::optional<size_t> text_of(const std::vector<Text>& texts, Benchmark benchmark) {
  if (benchmark == Benchmark::either) return 0;
  const auto found = std::ranges::find(texts, benchmark, &Text::stands_for);
  return found == texts.end() ? std::nullopt : std::optional(size_t(found - texts.begin()));
}

/// Of a row's model before any fine-tuning.
Config config_of(const Text& text, const Setting& setting, const Row& row, int64_t seed,
                 const Request& request) {
  Config config = config_for(text.medium, setting);
  if (request.steps >= 0) config.train.steps = request.steps;
  config = with_row(config, row);
  config.train.seed = seed;
  return parse_config(to_toml(config), concat("reproduce, ", row.router));  // all checks once more
}

std::string name_of(Tuning tuning) {
  switch (tuning) {
    case Tuning::none:
      return "";
    case Tuning::all:
      return "-sft";
    case Tuning::router_frozen:
      return "-sft-router-frozen";
    case Tuning::router_and_cell_frozen:
      return "-sft-router-and-cell-frozen";
  }
  fail("reproduce: tuning ", int(tuning));
}

/// tiny-austen/rmoe-small-12layers-seed1; what is the config's own is not told.
std::string name_of(const Plan& plan, const Text& text, const Setting& setting, const Row& row,
                    int64_t seed) {
  std::string variant = setting.size == Size::small ? "-small" : "";
  const Setting own{setting.benchmark, setting.size};
  const int64_t layers = config_for(text.medium, setting).model.layers;
  if (layers != config_for(text.medium, own).model.layers) variant += fmt::format("-{}layers", layers);
  if (row.variant.state != 1) variant += fmt::format("-{:g}xstate", row.variant.state);
  if (row.variant.steps != 1) variant += fmt::format("-{:g}xsteps", row.variant.steps);
  return fmt::format("{}-{}/{}{}{}-seed{}", plan.scale, text.name, row.router, variant,
                     name_of(row.variant.tuning), seed);
}

/// Adds the runs of a plan, each behind what it starts from.
class Runs {
 public:
  explicit Runs(Plan& plan) : plan_(plan) {}

  void add(const Column& column, const Row& row, int64_t seed) {
    const std::optional<size_t> text = text_of(plan_.texts, column.setting.benchmark);
    if (!text || plan_.run_of(column, row, seed)) return;
    const Text& t = plan_.texts[*text];
    Config config = config_of(t, column.setting, row, seed, plan_.request);
    std::optional<size_t> base;
    if (row.variant.tuning != Tuning::none) {
      Row pretrained = row;
      pretrained.variant.tuning = Tuning::none;
      add(column, pretrained, seed);
      base = plan_.run_of(column, pretrained, seed);
      config = tuned_config(plan_.request, config, row.variant.tuning, *plan_.examples);
    }
    plan_.runs.push_back({name_of(plan_, t, column.setting, row, seed), row.router, seed, *text, base, config,
                          account_of(config)});
  }

 private:
  /// The seed changes nothing.
  Account account_of(Config config) {
    config.train.seed = 0;
    const auto [account, added] = accounts_.try_emplace(to_toml(config));
    if (added) account->second = account_for(config);
    return account->second;
  }

  Plan& plan_;
  std::map<std::string, Account> accounts_;
};

void add_runs(Plan& plan) {
  Runs runs(plan);
  for (int64_t seed = 1; seed <= plan.seeds; ++seed)
    for (const Column& column : plan.table.columns)
      for (const Row& row : plan.table.rows) runs.add(column, row, seed);
}

}  // namespace

bool Plan::needs_analysis() const { return std::ranges::any_of(table.columns, is_analysis, &Column::metric); }

std::optional<size_t> Plan::run_of(const Column& column, const Row& row, int64_t seed) const {
  const std::optional<size_t> text = text_of(texts, column.setting.benchmark);
  if (!text) return {};
  const std::string name = name_of(*this, texts[*text], column.setting, row, seed);
  const auto found = std::ranges::find(runs, name, &PlannedRun::name);
  return found == runs.end() ? std::nullopt : std::optional(size_t(found - runs.begin()));
}

Plan make_plan(const Request& request) {
  Plan plan;
  plan.request = request;
  plan.table = paper_table(request.table);
  const Scale& scale = scale_named(request.scale);
  if (!request.routers.empty()) keep_rows(plan.table, request.routers);
  check_overrides(request.overrides, plan.table);
  plan.scale = label_of(request, scale);
  plan.seeds = request.seeds > 0 ? request.seeds : scale.seeds;
  plan.texts = load_texts(request, scale, plan.table);
  if (plan.table.is_pretraining()) plan.tasks = plan_tasks(plan.table, request, plan.texts[0]);
  if (plan.table.needs_tuning()) plan.examples = plan_examples(request, plan.texts[0]);
  add_runs(plan);
  return plan;
}

}  // namespace rmoe::reproduce
