#include "data/records.hpp"
#include "engine/files.hpp"
#include "engine/parallel.hpp"
#include "tests/folder.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"
#include "tests/process.hpp"
#include "tests/tiny_models.hpp"
#include "train/tasks/evaluate_tasks.hpp"
#include "train/tasks/python_text.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const fs::path kGolden = fs::path(RMOE_SOURCE_DIR) / "tests/golden/tasks";

/// What the model of tools/make_task_golden.py says about a request.
Likelihood checksum_likelihood(const std::string& context, const std::string& continuation) {
  const uint32_t sum = files::crc32_of(std::string_view(context + "|" + continuation));
  return {-double(sum % 10007) / 1000, sum % 3 == 0};
}

/// A token for every byte but "$", which begins a text; a space and a letter behind it are one token.
class PairTokenizer final : public Tokenizer {
 public:
  int64_t size() const override { return 512; }
  std::vector<int32_t> encode(std::string_view text, Special) const override {
    std::vector<int32_t> tokens;
    for (size_t i = 0; i < text.size(); ++i) {
      const bool pair = text[i] == ' ' && i + 1 < text.size() && std::isalpha(uint8_t(text[i + 1]));
      tokens.push_back(pair ? 256 + uint8_t(text[++i]) : uint8_t(text[i]));
    }
    return tokens;
  }
  std::string decode(std::span<const int32_t>) const override { return {}; }
  std::string piece(int32_t) const override { return {}; }
  std::string name(int32_t) const override { return {}; }
  bool is_byte_level() const override { return false; }
  std::optional<int32_t> bos() const override { return '$'; }
  std::string file_name() const override { return {}; }
  std::string file_bytes() const override { return {}; }
};

std::vector<ScoreRequest> requests_of_text(const std::string& context,
                                           const std::vector<std::string>& choices, int64_t max_length = 0) {
  return requests_of({context, choices, 0}, PairTokenizer(), max_length);
}

std::vector<int32_t> tokens(const std::string& text) {
  return PairTokenizer().encode(text, Special::as_text);
}

std::string load_error(const std::string& task, const TestFolder& folder) {
  return error_of([&] { load_questions(find_tasks(task)[0], folder.path()); });
}

}  // namespace

TEST_CASE("tasks: requests and metrics are those of the real harness, from either form of the files") {
  const json golden = json::parse(read_text(kGolden / "golden.json"));
  for (const Task& task : all_tasks())
    for (const char* form : {"sets", "hub"}) {
      CAPTURE(task.name);
      CAPTURE(form);
      const std::vector<Question> questions = load_questions(task, kGolden / form);
      const json& wanted = golden.at(task.name);
      REQUIRE(questions.size() == wanted.at("documents").size());
      std::vector<std::vector<Likelihood>> likelihoods;
      for (size_t i = 0; i < questions.size(); ++i) {
        json requests = json::array();
        likelihoods.emplace_back();
        for (const std::string& choice : questions[i].choices) {
          requests.push_back({questions[i].context, " " + choice});
          likelihoods.back().push_back(checksum_likelihood(questions[i].context, " " + choice));
        }
        CHECK_MESSAGE(requests == wanted["documents"][i]["requests"], requests.dump());
        CHECK(questions[i].gold == wanted["documents"][i]["gold"]);
      }
      int64_t checked = 0;
      for (const TaskMetric& m : metrics_of(task, questions, likelihoods)) {
        CAPTURE(m.name);
        CHECK(m.value == doctest::Approx(wanted["metrics"][m.name + ",none"].get<double>()).epsilon(1e-12));
        const std::string error = m.name + "_stderr,none";
        if (wanted["metrics"].contains(error))
          CHECK(m.error.value() == doctest::Approx(wanted["metrics"][error].get<double>()).epsilon(1e-12));
        ++checked;
      }
      CHECK(checked == 2);
    }
}

TEST_CASE("tasks: Python's white space and capitals") {
  CHECK(python::strip(" \u3000\x1f a\u00a0b \u2028\n") == "a\u00a0b");
  CHECK(python::strip("\xE3\x80") == "\xE3\x80");  // half a character is no space
  CHECK(python::rstrip(" \t ").empty());
  CHECK(python::capitalize("éCOLE") == "École");
  CHECK(python::capitalize("ΟΔΟΣ ΣΑΣ. Σ") == "Οδος σας. σ");
  CHECK(python::capitalize("ßA") == "Ssa");
  CHECK(python::capitalize("xİ") == "Xi\u0307");
  CHECK(python::capitalize("ǆ") == "ǅ");
  CHECK(python::capitalize("\U00010428x\U00010400") == "\U00010400x\U00010428");
  CHECK(python::capitalize("").empty());
  CHECK(python::length("aé日\U0001F600") == 4);
}

TEST_CASE("tasks: a choice is what it adds to the context's tokens") {
  const auto plain = requests_of_text("Q:", {"ab", "c"});
  CHECK(plain[0].tokens == tokens("Q: ab"));
  CHECK(plain[0].first == 2);
  CHECK(plain[1].tokens == tokens("Q: c"));

  const auto spaced = requests_of_text("Q:\u3000 ", {"a"});  // white space goes over to the choice
  CHECK(spaced[0].tokens == tokens("Q:\u3000  a"));
  CHECK(spaced[0].first == 2);

  const auto empty = requests_of_text("", {"ab"});
  CHECK(empty[0].tokens == std::vector<int32_t>{'$', 256 + 'a', 'b'});
  CHECK(empty[0].first == 1);

  const auto blank = requests_of_text(" \n", {"a"});  // not empty, but nothing is left of it
  CHECK(blank[0].tokens == std::vector<int32_t>{'$', ' ', '\n', 256 + 'a'});
}

TEST_CASE("tasks: long requests keep their end, a choice longer than that is an error") {
  const auto cut = requests_of_text("0123456789", {"ab"}, 6);
  CHECK(cut[0].tokens == tokens("56789 ab"));
  CHECK(cut[0].first == 5);
  CHECK(requests_of_text("0123456789", {"ab"}, 11)[0].tokens.size() == 12);
  CHECK(requests_of_text("0123456789", {"ab"}, 2)[0].first == 1);
  CHECK(error_of([] { requests_of_text("0123456789", {"ab"}, 1); }) ==
        "a choice has 2 tokens, more than the 1 the model reads: give a larger --max-length");
}

TEST_CASE("tasks: ties go to the first choice, one question has no error, a bootstrap is repeatable") {
  const Task choice = find_tasks("piqa")[0], predict = find_tasks("lambada_openai")[0];
  const std::vector<Question> one{{"", {"aaaa", "b"}, 1}};
  const auto metrics =
      metrics_of(choice, one, std::vector<std::vector<Likelihood>>{{{-2, false}, {-2, true}}});
  CHECK(metrics[0].value == 0);
  CHECK(metrics[1].value == 0);  // -0.5 a code point against -2
  CHECK(!metrics[0].error);

  std::vector<Question> many;
  std::vector<std::vector<Likelihood>> likelihoods;
  for (int i = 0; i < 400; ++i) {
    many.push_back({"", {"a"}, 0});
    likelihoods.push_back({{-double(i % 20) / 10, i % 4 == 0}});
  }
  const auto a = metrics_of(predict, many, likelihoods);
  CHECK(a[0].value == 0.25);
  CHECK(a[1].value == doctest::Approx(std::exp(0.95)));
  // exp's slope times the error of a mean
  CHECK(*a[1].error == doctest::Approx(std::exp(0.95) * 0.577 / 20).epsilon(0.03));
  const int threads_before = thread_count();
  set_thread_count(3);
  CHECK(*metrics_of(predict, many, likelihoods)[1].error == *a[1].error);
  set_thread_count(threads_before);
}

TEST_CASE("tasks: a model's own evaluation adds up what scoring says") {
  const TinyCase c = tiny_case("llama-rmoe");
  ModelConfig config = c.model;
  config.vocab = 512;
  Model model(config, c.router, 3);
  const PairTokenizer tokenizer;
  std::vector<std::string> ends;  // of counting
  const auto results = evaluate_tasks(model, tokenizer, find_tasks("hellaswag,lambada_openai"),
                                      {.folder = kGolden / "hub", .limit = 2},
                                      [&](const Task& task, int64_t done, int64_t all) {
                                        if (done == all) ends.push_back(concat(task.name, " ", all));
                                        return true;
                                      });
  CHECK(ends == std::vector<std::string>{"hellaswag 8", "lambada_openai 2"});
  REQUIRE(results.size() == 2);
  for (const TaskResult& r : results) {
    CHECK(r.in_file == 5);
    REQUIRE(r.questions.size() == 2);
    for (size_t i = 0; i < 2; ++i)
      for (size_t k = 0; k < r.questions[i].choices.size(); ++k) {
        const ScoreRequest& request = r.requests[i][k];
        const auto scores = score(model, std::span(&request.tokens, 1))[0];
        double sum = 0;
        bool greedy = true;
        for (auto t = size_t(request.first); t < request.tokens.size(); ++t) {
          sum += double(scores[t - 1].log_prob);
          greedy = greedy && scores[t - 1].best == request.tokens[t];
        }
        CHECK(r.likelihoods[i][k].log_prob == sum);
        CHECK(r.likelihoods[i][k].is_greedy == greedy);
      }
  }
  const json report = json::parse(task_json(results).dump());
  CHECK(report["results"]["hellaswag"]["acc,none"].is_number());
  CHECK(report["results"]["lambada_openai"]["perplexity_stderr,none"].is_number());
  CHECK(report["n-samples"]["hellaswag"] == json{{"original", 5}, {"effective", 2}});
  CHECK(report["higher_is_better"]["lambada_openai"]["perplexity"] == false);
  const std::string table = task_table(results);
  CHECK(table.starts_with("|Tasks         |Version|Filter|n-shot|Metric    |   |"));
  CHECK(std::ranges::count(table, '\n') == 6);
  const auto samples = parse_records(task_samples(results[0]), "samples");
  REQUIRE(samples.size() == 8);
  CHECK(samples[5]["doc_id"] == 1);
  CHECK(samples[5]["log_likelihood"] == results[0].likelihoods[1][1].log_prob);

  const auto stopped = evaluate_tasks(model, tokenizer, find_tasks("piqa,sciq"), {.folder = kGolden / "sets"},
                                      [](const Task&, int64_t, int64_t) { return false; });
  CHECK(stopped[0].metrics.empty());
  CHECK(stopped[1].metrics.empty());
}

TEST_CASE("tasks: what is wrong with a file is said with its record") {
  const TestFolder folder;
  const auto with = [&](const std::string& name, const std::string& text) { folder.write(name, text); };
  CHECK(error_of([] { find_tasks("piqa,arc"); }) ==
        "tasks: no task is called \"arc\": there are arc_easy, arc_challenge, hellaswag, piqa, sciq, "
        "lambada_openai");
  const std::string path = folder.path().string();
  CHECK(load_error("sciq", folder) ==
        "tasks: " + path +
            " has no file for sciq; looked for sciq.jsonl, sciq.json, SciQ dataset-2 3/test.json, "
            "test.json, sciq/test.json, sciq/sciq/test.json; \"rmoe data get sciq\" fetches it");
  with("lambada_openai.jsonl", "{\"text\": \"a b\"}\n\n{\"text\": 3}\n");
  CHECK(load_error("lambada_openai", folder) ==
        "tasks: " + path + "/lambada_openai.jsonl, record 1: \"text\" is number, wanted a string");
  with("lambada_openai.jsonl", "{\"text\": \"a b\"}\n{\"text\": \n");
  CHECK(load_error("lambada_openai", folder) == path + "/lambada_openai.jsonl, line 2: not JSON in UTF-8");
  with("lambada_openai.jsonl", "\n");
  CHECK(load_error("lambada_openai", folder) == "tasks: " + path + "/lambada_openai.jsonl is empty");
  with("sciq.json", "[{}, 3]");
  CHECK(load_error("sciq", folder) == path + "/sciq.json, record 1: wanted a JSON object, got number");
  with("arc_easy.jsonl",
       R"({"question": "q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "B"})");
  CHECK(load_error("arc_easy", folder) ==
        "tasks: " + path + "/arc_easy.jsonl, record 0: \"answerKey\" B is no label of a choice");
  with("piqa.jsonl", R"({"goal": "g", "sol1": "a", "sol2": "b", "label": 2})");
  CHECK(load_error("piqa", folder) ==
        "tasks: " + path + "/piqa.jsonl, record 0: the right choice is number 2 of 2");
  with("piqa.jsonl", R"({"goal": "g", "sol1": "a", "sol2": "b"})");
  with("dev-labels.lst", "0\n1\n");
  CHECK(load_error("piqa", folder) == path + "/dev-labels.lst: 2 labels for 1 records");
  with("hellaswag.jsonl",
       R"({"activity_label": "a", "ctx_a": "", "ctx_b": "", "endings": ["x"], "label": ""})");
  CHECK(load_error("hellaswag", folder) ==
        "tasks: " + path +
            "/hellaswag.jsonl, record 0: \"label\" is \"\", wanted a number: is this the split with labels?");
}

TEST_CASE("tasks: damaged files are errors, never crashes") {
  const TestFolder folder;
  for (const Task& task : all_tasks()) {
    const std::string seed = read_text(kGolden / "hub" / (task.name + ".jsonl"));
    fuzz({seed}, 60, [&](std::string_view bytes) {
      folder.write(task.name + ".jsonl", std::string(bytes));
      for (const Question& question : load_questions(task, folder.path()))
        CHECK(question.gold < int64_t(question.choices.size()));
    });
  }
}

}  // namespace rmoe::test
