#include "train/reproduce/runs.hpp"

#include "engine/memory.hpp"
#include "engine/parallel.hpp"
#include "train/analysis/analysis.hpp"
#include "train/checkpointed_model.hpp"
#include "train/exact.hpp"
#include "train/fields.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"
#include "train/trainer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/core.h>
#include <fstream>
#include <limits>
#include <sstream>

namespace rmoe::reproduce {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Settings that change what a run says or keeps, not what it computes. The text is compared by its tokens.
constexpr std::array kHarmless{"train.log_every", "train.checkpoint_every",
                               "train.keep",      "train.analyze_every",
                               "data.path",       "sft.data"};

std::string text_of(const Field& field) {
  return std::visit(
      []<class T>(const T* value) {
        if constexpr (std::is_same_v<T, double>)
          return exact(*value);
        else
          return concat(*value);
      },
      field.value);
}

/// "train.steps is 20, wanted 40" for all that matters.
std::string differences(Config found, Config wanted) {
  const std::vector<Field> a = fields_of(found), b = fields_of(wanted);
  std::string text;
  for (size_t i = 0; i < a.size(); ++i) {
    const bool harmless = std::ranges::find(kHarmless, a[i].key()) != kHarmless.end();
    if (harmless || text_of(a[i]) == text_of(b[i])) continue;
    text += concat(text.empty() ? "" : ", ", a[i].key(), " is ", text_of(a[i]), ", wanted ", text_of(b[i]));
  }
  return text;
}

/// Of what a run learns from.
const std::string& fingerprint_of(const Plan& plan, const PlannedRun& run) {
  return run.base ? plan.examples->fingerprint : plan.texts[run.text].corpus.fingerprint;
}

void refuse_if_different(const json& state, const Plan& plan, const PlannedRun& run) {
  const std::string folder = plan.folder(run).string();
  const Config found = parse_config(state.at("config").get<std::string>(), folder + "/config.toml");
  std::string what = differences(found, run.config);
  if (state.at("data") != fingerprint_of(plan, run))
    what += concat(what.empty() ? "" : ", ", "its text is not ",
                   run.base ? run.config.sft.data : run.config.data.path);
  if (!what.empty())
    fail("reproduce: ", folder, " was trained differently: ", what,
         "; remove that folder, ask for its settings, or choose another --out");
}

/// The state of the newest checkpoint. One that is damaged is passed over as training will do.
std::optional<json> newest_state(const fs::path& folder) {
  for (const char* link : {"latest", "best"}) try {
      return checkpoint_state(folder / link);
    } catch (const Error&) {
    }
  return {};
}

/// Runs are evaluated as they were pre-trained, whatever they were fine-tuned on.
const TrainConfig& evaluation_of(const Plan& plan, const PlannedRun& run) {
  return plan.texts[run.text].medium.train;
}

/// What a result belongs to: the best checkpoint's weights and the way they are evaluated.
json key_of(const Plan& plan, const PlannedRun& run) {
  const json state = checkpoint_state(find_checkpoint(plan.folder(run)));
  return {{"step", state.at("step")},
          {"model", state.at("checksums").at("model.safetensors")},
          {"data", plan.texts[run.text].corpus.fingerprint},
          {"streams", evaluation_of(plan, run).eval_streams},
          {"block", evaluation_of(plan, run).block}};
}

json key_of_tasks(const Plan& plan, const PlannedRun& run) {
  json key = key_of(plan, run);
  key["tasks"] = plan.tasks->fingerprint;
  return key;
}

json read_json(const fs::path& path) {
  if (!fs::exists(path)) return json::object();
  json found = json::parse(files::read(path), nullptr, /*allow_exceptions=*/false);
  return found.is_object() ? found : json::object();
}

/// The weights that a fine-tuned run starts from.
json origin_of(const Plan& plan, const PlannedRun& run) {
  const fs::path base = find_checkpoint(plan.folder(plan.runs[*run.base]));
  return {{"model", checkpoint_state(base).at("checksums").at("model.safetensors")}};
}

void refuse_if_stranger(const Plan& plan, const PlannedRun& run) {
  if (read_json(plan.folder(run) / "origin.json") != origin_of(plan, run))
    fail("reproduce: ", plan.folder(run).string(), " was fine-tuned from other weights than ",
         plan.folder(plan.runs[*run.base]).string(),
         " has now; remove the first of them, or choose another --out");
}

/// The peak of all sessions a run was trained in.
void note_memory(const fs::path& folder) {
  const int64_t before = read_json(folder / "measured.json").value("peak_bytes", int64_t(0));
  const json measured{{"peak_bytes", std::max(before, memory::stats(Device::cpu).peak)},
                      {"machine", machine_description()}};
  files::replace(folder / "measured.json", measured.dump(1) + "\n");
}

/// NaN if nothing was logged.
double median_tokens_per_s(const fs::path& metrics) {
  std::vector<double> values;
  std::istringstream lines(files::read(metrics));
  for (std::string line; std::getline(lines, line);)
    if (const json found = json::parse(line, nullptr, false);
        found.is_object() && found.contains("tokens_per_s"))
      values.push_back(found["tokens_per_s"]);
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::ranges::nth_element(values, values.begin() + std::ptrdiff_t(values.size() / 2));
  return values[values.size() / 2];
}

}  // namespace

std::string machine_description() {
  std::ifstream file("/proc/cpuinfo");
  std::string name = "unknown processor";
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) {
      name = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  return fmt::format("{}, {} thread{}", name, thread_count(), thread_count() == 1 ? "" : "s");
}

RunState state_of(const Plan& plan, const PlannedRun& run) {
  const fs::path folder = plan.folder(run);
  const std::optional<json> state = newest_state(folder);
  RunState found{.analyzed = !plan.needs_analysis(), .scored = !plan.tasks};
  if (!state) return found;
  refuse_if_different(*state, plan, run);
  found.step = state->at("step");
  if (run.base && !state_of(plan, plan.runs[*run.base]).trained) return found;
  if (run.base) refuse_if_stranger(plan, run);
  const bool validates = !run.base || !plan.examples->valid.empty();
  found.trained =
      found.step == run.config.train.steps && (!validates || state->at("validated_step") == found.step);
  if (!found.trained) return found;
  const auto is_current = [&](const char* file, const json& key) {
    return read_json(folder / file).value("checkpoint", json()) == key;
  };
  const json key = key_of(plan, run);
  found.evaluated = is_current("result.json", key);
  found.analyzed = found.analyzed || is_current("analysis.json", key);
  found.scored = found.scored || is_current("tasks.json", key_of_tasks(plan, run));
  return found;
}

bool train_to_end(const Plan& plan, const PlannedRun& run) {
  const fs::path folder = plan.folder(run);
  files::make_folder(folder);
  memory::reset_peak(Device::cpu);
  RunOptions options{.run = folder, .resume = true};
  RunResult result;
  if (run.base) {
    const fs::path origin = folder / "origin.json";
    if (!fs::exists(origin)) files::replace(origin, origin_of(plan, run).dump(1) + "\n");
    refuse_if_stranger(plan, run);
    options.init = find_checkpoint(plan.folder(plan.runs[*run.base])) / "model.safetensors";
    result = train(run.config, training_data(*plan.examples, run.config), options);
  } else {
    result = train(run.config, plan.texts[run.text].corpus, options);
  }
  note_memory(folder);
  return !result.interrupted;
}

bool evaluate_best(const Plan& plan, const PlannedRun& run) {
  const fs::path folder = plan.folder(run);
  const CheckpointedModel opened = open_checkpoint(folder);
  const Corpus& corpus = plan.texts[run.text].corpus;
  const TrainConfig& train = evaluation_of(plan, run);
  ProgressLine line(1);
  const auto score = [&](const std::string& split, const Tokens& tokens) {
    if (tokens.size() == 0) return json::object();
    const Evaluation e =
        evaluate(*opened.model, tokens, train.eval_streams, train.block, -1, [&](int64_t done, int64_t all) {
          line.count(split + " block", done, all);
          return !stop_requested();
        });
    return json{{"loss", e.loss}, {"tokens", e.tokens}};
  };
  const json result{{"checkpoint", key_of(plan, run)},
                    {"valid", score("valid", corpus.valid)},
                    {"test", score("test", corpus.test)}};
  if (stop_requested()) return false;
  files::replace(folder / "result.json", result.dump(1) + "\n");
  return true;
}

bool score_best(const Plan& plan, const PlannedRun& run) {
  const fs::path folder = plan.folder(run);
  const CheckpointedModel opened = open_checkpoint(folder);
  ProgressLine line(1);
  const auto tick = [&](const Task& task, int64_t done, int64_t all) {
    line.count(task.name + " request", done, all);
    return !stop_requested();
  };
  const std::vector<TaskResult> results =
      evaluate_tasks(*opened.model, *opened.tokenizer, plan.tasks->tasks, plan.tasks->options, tick);
  if (stop_requested()) return false;
  const json scored{{"checkpoint", key_of_tasks(plan, run)}, {"tasks", task_json(results).at("results")}};
  files::replace(folder / "tasks.json", scored.dump(1) + "\n");
  return true;
}

bool analyze_best(const Plan& plan, const PlannedRun& run) {
  const fs::path folder = plan.folder(run);
  const CheckpointedModel opened = open_checkpoint(folder);
  const TrainConfig& train = run.config.train;
  ProgressLine line(1);
  const AnalyzeOptions options{.streams = train.eval_streams,
                               .block = train.block,
                               .blocks = train.eval_blocks,
                               .tick = [&](int64_t done, int64_t all) {
                                 line.count("analysing block", done, all);
                                 return !stop_requested();
                               }};
  Analysis analysis = analyze(*opened.model, plan.texts[run.text].corpus.test, options);
  if (!analysis.complete) return false;
  analysis.run = run.name;
  analysis.split = "test";
  analysis.step = opened.step;
  const json cached{{"checkpoint", key_of(plan, run)}, {"analysis", to_json(analysis)}};
  files::replace(folder / "analysis.json", cached.dump(1) + "\n");
  return true;
}

Outcome outcome_of(const Plan& plan, const PlannedRun& run) {
  const fs::path folder = plan.folder(run);
  const json result = read_json(folder / "result.json"), measured = read_json(folder / "measured.json");
  const auto loss = [&](const char* split) { return result.at(split).value("loss", std::nan("")); };
  const auto tokens = [&](const char* split) { return result.at(split).value("tokens", int64_t(0)); };
  // How many tokens examples have differs from step to step.
  const double tokens_per_1000 =
      run.base ? std::nan("") : 1000.0 * double(run.config.train.batch * run.config.train.block);
  return {.best_step = result.at("checkpoint").at("step"),
          .valid_loss = loss("valid"),
          .test_loss = loss("test"),
          .valid_tokens = tokens("valid"),
          .test_tokens = tokens("test"),
          .seconds_per_1000_steps = tokens_per_1000 / median_tokens_per_s(folder / "metrics.jsonl"),
          .peak_bytes = measured.value("peak_bytes", int64_t(0)),
          .machine = measured.value("machine", "unknown machine"),
          .analysis = plan.needs_analysis() ? read_json(folder / "analysis.json").at("analysis") : json(),
          .tasks = plan.tasks ? read_json(folder / "tasks.json").at("tasks") : json()};
}

}  // namespace rmoe::reproduce
