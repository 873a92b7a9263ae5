// Checkpoints: RUN/checkpoints/step-N/ holds model.safetensors, optimizer.safetensors, memory.safetensors (if
// there is a memory), the tokenizer's file and state.json with a checksum of each; the links RUN/latest and
// RUN/best point to one of them. A folder is written under a temporary name, forced to disk and renamed;
// `latest` moves after that. Whatever instant the program is killed at, the checkpoint before stays usable.
#pragma once

#include "train/safetensors.hpp"

#include <map>
#include <nlohmann/json.hpp>

namespace rmoe {

struct Snapshot {
  int64_t step = 0;
  std::vector<NamedTensor> model, optimizer, memory;
  std::map<std::string, std::string> files;         // name -> bytes of small files kept beside
  nlohmann::json state = nlohmann::json::object();  // the keys "step" and "checksums" are ours
};

struct SaveOptions {
  bool best = false;  // also point RUN/best here
  int64_t keep = 3;   // how many of the newest stay, besides the best
};

/// Saves RUN/checkpoints/step-N, replacing one of the same step, and removes what is not kept any more.
files::Path save_checkpoint(const files::Path& run, const Snapshot& snapshot, const SaveOptions& options);

/// Reads the checkpoint in this folder; an error names the file that is missing or damaged.
Snapshot load_checkpoint(const files::Path& folder);

/// The state of the checkpoint in this folder with its "step" and "checksums", without reading the tensors.
nlohmann::json checkpoint_state(const files::Path& folder);

/// Reads the newest usable checkpoint of a run: the one that `latest` points to, or else the nearest before
/// it. Every one that had to be passed over is told to on_message.
Snapshot load_latest(const files::Path& run, const std::function<void(const std::string&)>& on_message);

/// Does the run hold a checkpoint, intact or not?
bool has_checkpoint(const files::Path& run);

/// The folder meant by a run (its best checkpoint, or else its latest) or by a checkpoint itself.
files::Path find_checkpoint(const files::Path& run_or_checkpoint);

}  // namespace rmoe
