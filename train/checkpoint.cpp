#include "train/checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <limits>
#include <optional>
#include <tuple>

namespace rmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStep = "step-";
constexpr const char* kOld = ".old-step-";  // a checkpoint on its way out, while its successor moves in
constexpr const char* kTemporary = ".tmp-";

std::string name_of(int64_t step) { return kStep + std::to_string(step); }

/// N of a name `prefix`N.
std::optional<int64_t> number_after(std::string_view prefix, const std::string& name) {
  int64_t number = 0;
  if (!name.starts_with(prefix)) return {};
  const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number);
  return error == std::errc() && end == name.data() + name.size() ? std::optional(number) : std::nullopt;
}

/// The step that a link of the run points to, whether it exists or not.
std::optional<int64_t> step_of_link(const fs::path& link) {
  std::error_code none;
  return number_after(kStep, fs::read_symlink(link, none).filename().string());
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code none;
  const fs::directory_iterator begin(folder, none);
  return {begin, fs::directory_iterator()};
}

struct Part {
  const char* file;
  std::vector<NamedTensor> Snapshot::*tensors;
  bool optional;
};
constexpr Part kParts[] = {{"model.safetensors", &Snapshot::model, false},
                           {"optimizer.safetensors", &Snapshot::optimizer, false},
                           {"memory.safetensors", &Snapshot::memory, true}};

std::string hex(uint32_t crc) { return fmt::format("{:08x}", crc); }

/// The checksum of state.json itself: of its content, whatever its line breaks.
std::string checksum_of(json state) {
  state["checksums"].erase("state.json");
  return hex(files::crc32_of(std::string_view(state.dump())));
}

/// Returns the checksum.
std::string write_file(const fs::path& path, std::string_view bytes) {
  files::Writer file(path);
  file.write(bytes);
  file.sync();
  return hex(file.crc32());
}

void write_parts(const fs::path& folder, const Snapshot& snapshot) {
  files::make_folder(folder);
  json state = snapshot.state;
  state["step"] = snapshot.step;
  json& checksums = state["checksums"] = json::object();
  for (const Part& part : kParts) {
    const std::vector<NamedTensor>& tensors = snapshot.*part.tensors;
    if (part.optional && tensors.empty()) continue;
    checksums[part.file] = hex(write_safetensors(folder / part.file, tensors));
  }
  for (const auto& [name, bytes] : snapshot.files) checksums[name] = write_file(folder / name, bytes);
  checksums["state.json"] = checksum_of(state);
  write_file(folder / "state.json", state.dump(1) + "\n");
  files::sync_folder(folder);
}

/// Brings the folder back to whole checkpoints after a save that was cut off, and drops what a save put
/// aside.
void tidy(const fs::path& folder) {
  for (const fs::path& path : entries_of(folder)) {
    const std::string name = path.filename().string();
    if (name.starts_with(kTemporary)) files::remove(path);
    const std::optional<int64_t> old = number_after(kOld, name);
    if (!old) continue;
    if (fs::exists(folder / name_of(*old)))
      files::remove(path);
    else
      files::rename(path, folder / name_of(*old));
  }
}

void put_in_place(const fs::path& staged, const fs::path& folder, int64_t step) {
  const fs::path target = folder / name_of(step);
  if (fs::exists(target)) files::rename(target, folder / (kOld + std::to_string(step)));
  files::rename(staged, target);
  files::sync_folder(folder);
}

/// Puts aside every checkpoint up to `step` that is neither among the newest `keep` nor the best.
void rotate(const fs::path& run, const fs::path& folder, int64_t step, int64_t keep) {
  std::vector<int64_t> steps;
  for (const fs::path& path : entries_of(folder))
    if (const auto n = number_after(kStep, path.filename().string()); n && *n <= step) steps.push_back(*n);
  std::ranges::sort(steps, std::greater());
  const std::optional<int64_t> best = step_of_link(run / "best");
  for (size_t i = size_t(std::max<int64_t>(keep, 1)); i < steps.size(); ++i)
    if (steps[i] != best)
      files::rename(folder / name_of(steps[i]), folder / (kTemporary + name_of(steps[i])));
}

void check_sum(const fs::path& path, const std::string& wanted) {
  const std::string found = hex(files::crc32_of(path));
  RMOE_CHECK(found == wanted, path.string(), " is damaged: its checksum is ", found, ", wanted ", wanted);
}

bool is_part(const std::string& name) {
  return std::ranges::any_of(kParts, [&](const Part& part) { return name == part.file; });
}

/// The run's checkpoints in the order to try them: from `latest` backwards, then those after it (a later step
/// than `latest` is left from a run that went on from an earlier one).
std::vector<fs::path> candidates(const fs::path& run) {
  struct Candidate {
    int64_t step;
    bool old;
    fs::path path;
  };
  std::vector<Candidate> found;
  for (const fs::path& path : entries_of(run / "checkpoints")) {
    const std::string name = path.filename().string();
    if (const auto step = number_after(kStep, name)) found.push_back({*step, false, path});
    if (const auto step = number_after(kOld, name)) found.push_back({*step, true, path});
  }
  const int64_t latest = step_of_link(run / "latest").value_or(std::numeric_limits<int64_t>::max());
  std::ranges::sort(found, {},
                    [=](const Candidate& c) { return std::tuple(c.step > latest, -c.step, c.old); });
  std::vector<fs::path> paths;
  for (Candidate& c : found) paths.push_back(std::move(c.path));
  return paths;
}

}  // namespace

files::Path save_checkpoint(const files::Path& run, const Snapshot& snapshot, const SaveOptions& options) {
  const fs::path folder = run / "checkpoints", name = name_of(snapshot.step);
  const fs::path staged = folder / (kTemporary + name.string());
  files::make_folder(folder);
  tidy(folder);
  try {
    write_parts(staged, snapshot);
  } catch (const Error&) {  // a full disk, most likely: give back what was taken
    std::error_code ignored;
    fs::remove_all(staged, ignored);
    throw;
  }
  put_in_place(staged, folder, snapshot.step);
  // `latest` last: a run cut off before it goes on from the checkpoint before and finds its best again.
  if (options.best) files::replace_link(run / "best", "checkpoints" / name);
  files::replace_link(run / "latest", "checkpoints" / name);
  rotate(run, folder, snapshot.step, options.keep);
  tidy(folder);
  return folder / name;
}

json checkpoint_state(const files::Path& folder) {
  RMOE_CHECK(fs::exists(folder / "state.json"), folder.string(),
             " is not a checkpoint: it has no state.json");
  const fs::path path = folder / "state.json";
  const std::string text = files::read(path);
  json state = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const bool whole = state.is_object() && state.contains("step") && state["step"].is_number_integer() &&
                     state.contains("checksums") && state["checksums"].is_object();
  RMOE_CHECK(whole, path.string(), " is damaged: not the JSON of a checkpoint");
  RMOE_CHECK(state["checksums"].value("state.json", json()) == checksum_of(state), path.string(),
             " is damaged: its checksum is wrong");
  return state;
}

Snapshot load_checkpoint(const files::Path& folder) {
  Snapshot snapshot;
  snapshot.state = checkpoint_state(folder);
  snapshot.step = snapshot.state["step"];
  const json checksums = snapshot.state["checksums"];
  for (const Part& part : kParts) {
    if (part.optional && !checksums.contains(part.file)) continue;
    check_sum(folder / part.file, checksums.value(part.file, "missing"));
    snapshot.*part.tensors = read_safetensors(folder / part.file).tensors;
  }
  for (const auto& [name, sum] : checksums.items()) {
    if (is_part(name) || name == "state.json") continue;
    check_sum(folder / name, sum);
    snapshot.files[name] = files::read(folder / name);
  }
  snapshot.state.erase("step");
  snapshot.state.erase("checksums");
  return snapshot;
}

Snapshot load_latest(const files::Path& run, const std::function<void(const std::string&)>& on_message) {
  for (const fs::path& path : candidates(run)) {
    try {
      return load_checkpoint(path);
    } catch (const Error& error) {
      on_message(concat(error.what(), "; trying the checkpoint before it"));
    }
  }
  fail("cannot resume ", run.string(), ": it has no usable checkpoint");
}

bool has_checkpoint(const files::Path& run) { return !candidates(run).empty(); }

files::Path find_checkpoint(const files::Path& run_or_checkpoint) {
  for (const fs::path& path : {run_or_checkpoint, run_or_checkpoint / "best", run_or_checkpoint / "latest"})
    if (fs::exists(path / "state.json")) return path;
  fail(run_or_checkpoint.string(), " is neither a run with a checkpoint nor a checkpoint");
}

}  // namespace rmoe
