// The zero-shot tasks: what lm-evaluation-harness makes of each record of ARC, HellaSwag, PIQA, SciQ and
// LAMBADA, from the files their authors publish or from those of the Hugging Face hub (JSON lines or an
// array).
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace rmoe {

/// A question: which of the choices, each after one space, goes on from the context?
struct Question {
  std::string context;
  std::vector<std::string> choices;  // one, if it is to be predicted rather than chosen
  int64_t gold = 0;
};

struct Task {
  std::string name;
  bool is_choice;      // else the one choice is predicted (LAMBADA)
  std::string source;  // what `data get` calls it, and the folder that makes
  std::string file;    // as its authors publish it
  std::string labels;  // its file of labels, if they are not in the records
  Question (*read)(const nlohmann::json& record);
};

const std::vector<Task>& all_tasks();
/// The tasks of a list "arc_easy,piqa"; an unknown one is a UsageError that lists the known.
std::vector<Task> find_tasks(const std::string& names);

/// The questions of a task, from the first of these below `folder` that is there: NAME.jsonl, NAME.json, the
/// authors' file, SOURCE/ with that file. A record that does not fit is an error naming file and record.
std::vector<Question> load_questions(const Task& task, const std::filesystem::path& folder);

}  // namespace rmoe
