// What the tables of the large models need besides a text: the files of zero-shot tasks, and examples with
// the config of fine-tuning.
#pragma once

#include "train/reproduce/plan.hpp"

namespace rmoe::reproduce {

/// Is this override, "sft.epochs=1", for the config of fine-tuning?
bool is_of_tuning(const std::string& text);

/// Reads all files of the table's tasks.
PlannedTasks plan_tasks(const PaperTable& table, const Request& request, const Text& text);

/// Reads and encodes the instructions.
Examples plan_examples(const Request& request, const Text& text);

/// The config of a row that fine-tunes: model and data of the pre-trained run, all else of fine-tuning.
Config tuned_config(const Request& request, const Config& pretrained, Tuning tuning,
                    const Examples& examples);

/// The tokens that one pass over the examples reads.
int64_t tokens_of(std::span<const Example> examples);

}  // namespace rmoe::reproduce
