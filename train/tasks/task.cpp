#include "train/tasks/task.hpp"

#include "data/records.hpp"
#include "engine/error.hpp"
#include "engine/files.hpp"
#include "train/tasks/python_text.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

namespace rmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string ask(const std::string& text) { return "Question: " + text + "\nAnswer:"; }

/// A label is a number, or a number in a text (the hub's HellaSwag).
int64_t label_of(const json& record, const char* key) {
  const json& value = member_of(record, key);
  if (value.is_number_integer()) return value;
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  int64_t label = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
  RMOE_CHECK(error == std::errc() && end == text.data() + text.size() && !text.empty(), "\"", key, "\" is ",
             value.dump(), ", wanted a number: is this the split with labels?");
  return label;
}

/// The hub has {question, choices: {text, label}}, the authors {question: {stem, choices: [{text, label}]}}.
Question read_arc(const json& record) {
  Question question;
  std::vector<std::string> labels;
  if (member_of(record, "question").is_object()) {
    const json& original = record["question"];
    question.context = ask(text_of(original, "stem"));
    for (const json& choice : member_of(original, "choices")) {
      question.choices.push_back(text_of(choice, "text"));
      labels.push_back(text_of(choice, "label"));
    }
  } else {
    question.context = ask(text_of(record, "question"));
    question.choices = texts_of(member_of(record, "choices"), "text");
    labels = texts_of(record["choices"], "label");
  }
  const std::string answer = text_of(record, "answerKey");
  const auto found = std::ranges::find(labels, answer);
  RMOE_CHECK(found != labels.end(), "\"answerKey\" ", answer, " is no label of a choice");
  question.gold = found - labels.begin();
  return question;
}

/// Deletes the shortest [...] from every "[" whose "]" comes before the line ends.
std::string without_brackets(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t end = text[i] == '[' ? text.find_first_of("]\n", i) : text.npos;
    if (end != text.npos && text[end] == ']')
      i = end;
    else
      out += text[i];
  }
  return out;
}

/// Takes the traces of WikiHow's layout out of HellaSwag. White space at the ends goes first: a bracket
/// behind or before it leaves some there.
std::string preprocess(const std::string& text) {
  const std::string sentences = python::replace(python::strip(text), " [title]", ". ");
  return python::replace(without_brackets(sentences), "  ", " ");
}

Question read_hellaswag(const json& record) {
  const std::string end = python::capitalize(text_of(record, "ctx_b"));
  Question question{
      preprocess(text_of(record, "activity_label") + ": " + text_of(record, "ctx_a") + " " + end), {}, 0};
  for (const std::string& ending : texts_of(record, "endings"))
    question.choices.push_back(preprocess(ending));
  question.gold = label_of(record, "label");
  return question;
}

Question read_piqa(const json& record) {
  return {ask(text_of(record, "goal")),
          {text_of(record, "sol1"), text_of(record, "sol2")},
          label_of(record, "label")};
}

Question read_sciq(const json& record) {
  const std::string support = text_of(record, "support");
  return {std::string(python::lstrip(support)) + "\n" + ask(text_of(record, "question")),
          {text_of(record, "distractor1"), text_of(record, "distractor2"), text_of(record, "distractor3"),
           text_of(record, "correct_answer")},
          3};
}

Question read_lambada(const json& record) {
  const std::string text = text_of(record, "text");
  const size_t space = text.rfind(' ');
  if (space == text.npos) return {"", {text}, 0};
  return {text.substr(0, space), {text.substr(space + 1)}, 0};
}

const std::vector<Task> kTasks{
    {"arc_easy", true, "arc", "ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl", "", read_arc},
    {"arc_challenge", true, "arc", "ARC-V1-Feb2018-2/ARC-Challenge/ARC-Challenge-Test.jsonl", "", read_arc},
    {"hellaswag", true, "hellaswag", "hellaswag_val.jsonl", "", read_hellaswag},
    {"piqa", true, "piqa", "physicaliqa-train-dev/dev.jsonl", "dev-labels.lst", read_piqa},
    {"sciq", true, "sciq", "SciQ dataset-2 3/test.json", "", read_sciq},
    {"lambada_openai", false, "lambada", "lambada_test.jsonl", "", read_lambada},
};

fs::path find_file(const Task& task, const fs::path& folder) {
  const fs::path published = task.file;
  const fs::path file_name = published.filename();
  const std::vector<fs::path> places{task.name + ".jsonl",
                                     task.name + ".json",
                                     published,
                                     file_name,
                                     task.source / file_name,
                                     fs::path(task.source) / task.source / file_name};
  std::string tried;
  for (const fs::path& place : places) {
    if (fs::exists(folder / place)) return folder / place;
    tried += (tried.empty() ? "" : ", ") + place.string();
  }
  fail("tasks: ", folder.string(), " has no file for ", task.name, "; looked for ", tried,
       "; \"rmoe data get ", task.source, "\" fetches it");
}

/// Gives records without a label the one on their line of the file beside theirs.
void add_labels(std::vector<json>& records, const fs::path& file) {
  std::istringstream lines(files::read(file));
  std::vector<std::string> labels;
  for (std::string label; lines >> label;) labels.push_back(label);
  RMOE_CHECK(labels.size() == records.size(), file.string(), ": ", labels.size(), " labels for ",
             records.size(), " records");
  for (size_t i = 0; i < records.size(); ++i) records[i]["label"] = labels[i];
}

}  // namespace

const std::vector<Task>& all_tasks() { return kTasks; }

std::vector<Task> find_tasks(const std::string& names) {
  std::vector<Task> tasks;
  std::istringstream list(names);
  for (std::string name; std::getline(list, name, ',');) {
    const auto found = std::ranges::find(kTasks, name, &Task::name);
    std::string known;
    for (const Task& task : kTasks) known += (known.empty() ? "" : ", ") + task.name;
    if (found == kTasks.end())
      throw UsageError(concat("tasks: no task is called \"", name, "\": there are ", known));
    tasks.push_back(*found);
  }
  return tasks;
}

std::vector<Question> load_questions(const Task& task, const fs::path& folder) {
  const fs::path file = find_file(task, folder);
  std::vector<json> records = read_records(file);
  RMOE_CHECK(!records.empty(), "tasks: ", file.string(), " is empty");
  if (!task.labels.empty() && !records[0].contains("label"))
    add_labels(records, file.parent_path() / task.labels);
  std::vector<Question> questions;
  for (size_t i = 0; i < records.size(); ++i) {
    const auto where = [&] { return concat("tasks: ", file.string(), ", record ", i, ": "); };
    try {
      questions.push_back(task.read(records[i]));
    } catch (const Error& error) {
      fail(where(), error.what());
    }
    const auto choices = int64_t(questions.back().choices.size());
    const int64_t gold = questions.back().gold;
    RMOE_CHECK(gold >= 0 && gold < choices, where(), "the right choice is number ", gold, " of ", choices);
  }
  return questions;
}

}  // namespace rmoe
