#include "data/sft/alpaca.hpp"
#include "data/sft/example_stream.hpp"
#include "data/vocabulary.hpp"
#include "tests/folder.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <nlohmann/json.hpp>

namespace rmoe::test {
namespace {

const Instruction kPlain{"Say hi.", "", "hi"}, kWithInput{"Add.", "1\n2", "3"};

constexpr const char* kPlainPrompt =
    "Below is an instruction that describes a task. Write a response that appropriately completes the "
    "request.\n"
    "\n### Instruction:\nSay hi.\n\n### Response:";
constexpr const char* kPromptWithInput =
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a "
    "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1\n2\n\n"
    "### Response:";

/// Bytes of all prompts above; <eos> is its newline.
Vocabulary vocabulary() {
  Vocabulary v;
  v.learn(std::string(kPlainPrompt) + kPromptWithInput + "hi3\n");
  return v;
}

std::vector<int32_t> row(const Tensor& t, int64_t b) {
  const auto values = t.rows(b, 1).span<int32_t>();
  return {values.begin(), values.end()};
}

/// Examples of n tokens each, told apart by their first.
std::vector<Example> numbered(const std::vector<int64_t>& lengths) {
  std::vector<Example> examples;
  for (size_t i = 0; i < lengths.size(); ++i)
    examples.push_back({std::vector<int32_t>(size_t(lengths[i]), int32_t(i)), 1});
  return examples;
}

std::vector<int32_t> firsts(const Batch& batch) {
  std::vector<int32_t> firsts;
  for (int64_t b = 0; b < batch.inputs.dim(0); ++b) firsts.push_back(row(batch.inputs, b)[0]);
  return firsts;
}

}  // namespace

TEST_CASE("sft: prompts are Alpaca's to the letter, by whether there is an input") {
  CHECK(kPlain.prompt() == kPlainPrompt);
  CHECK(kWithInput.prompt() == kPromptWithInput);
}

TEST_CASE("sft: an example is prompt, output and end of text, cut off at the block") {
  const Vocabulary v = vocabulary();
  const auto prompt = v.encode(kPlainPrompt);
  const auto n = int64_t(prompt.size());
  const Example whole = encode(kPlain, v, 1000);
  std::vector<int32_t> wanted = v.encode(std::string(kPlainPrompt) + "hi");
  wanted.push_back(v.eos().value());
  CHECK(whole.tokens == wanted);
  CHECK(whole.prompt == n);
  CHECK(whole.learned() == 3);
  wanted.resize(size_t(n) + 1);
  CHECK(encode(kPlain, v, n + 1).tokens == wanted);
  CHECK(encode(kPlain, v, n + 1).learned() == 1);
  CHECK(encode(kPlain, v, n).learned() == 0);
  CHECK(encode(kPlain, v, n - 5).tokens.size() == size_t(n - 5));
  CHECK(encode(kPlain, v, n - 5).learned() == 0);
  Vocabulary endless("byte", "byte");
  endless.learn(std::string(kPlainPrompt) + "hi");
  CHECK(error_of([&] { encode(kPlain, endless, 10); }) == "sft: the tokenizer has no token that ends a text");
}

TEST_CASE("sft: files are an array or lines, and a record that does not fit is named") {
  const TestFolder folder;
  const std::string lines =
      "{\"instruction\": \"a\", \"input\": \"\", \"output\": \"b\"}\n{\"instruction\": \"c\", \"output\": "
      "\"d\"}\n";
  for (const std::string& text :
       {lines, "[" + lines.substr(0, lines.find('\n')) + ",\n" + lines.substr(lines.find('\n') + 1) + "]"}) {
    const auto records = load_instructions(folder.write("a.json", text));
    REQUIRE(records.size() == 2);
    CHECK(records[0].output == "b");
    CHECK(records[1].instruction == "c");
    CHECK(records[1].input.empty());
  }
  const auto error = [&](const std::string& text) {
    const std::string file = folder.write("b.json", text);
    const std::string message = error_of([&] { load_instructions(file); });
    return message.substr(message.find("b.json"));
  };
  CHECK(error("[{\"instruction\": \"a\"}]") == "b.json, record 0: \"output\" is missing");
  CHECK(error("{\"instruction\": 7, \"output\": \"\"}") ==
        "b.json, record 0: \"instruction\" is number, wanted a string");
  CHECK(error("[]") == "b.json holds no instructions");
  CHECK(error("[{\"instruction\"") == "b.json: not JSON in UTF-8");
  fuzz({lines, "[" + lines.substr(0, lines.find('\n')) + "]"}, 300, [&](const std::string& bytes) {
    const Vocabulary v = vocabulary();
    for (const Instruction& record : load_instructions(folder.write("c.json", bytes))) encode(record, v, 64);
  });
}

TEST_CASE("sft: targets are the next tokens of the response, and nothing else counts") {
  const Example a{{10, 11, 12, 13, 14}, 3}, full{{20, 21, 22, 23, 24, 25}, 6}, from_start{{30, 31}, 0};
  const std::vector<const Example*> rows{&a, &full, &from_start};
  const Batch batch = batch_of(rows, 6, 99);
  CHECK(batch.restart);
  CHECK(row(batch.inputs, 0) == std::vector<int32_t>{10, 11, 12, 13, 14, 99});
  CHECK(row(batch.targets, 0) == std::vector<int32_t>{-1, -1, 13, 14, -1, -1});
  CHECK(row(batch.inputs, 1) == std::vector<int32_t>{20, 21, 22, 23, 24, 25});
  CHECK(row(batch.targets, 1) == std::vector<int32_t>(6, -1));
  CHECK(row(batch.targets, 2) == std::vector<int32_t>{31, -1, -1, -1, -1, -1});
  CHECK(error_of([&] { batch_of(rows, 5, 99); }) == "sft: an example of 6 tokens does not fit blocks of 5");
}

TEST_CASE("sft: a part of a batch leaves out the columns behind the last counted target") {
  const Example small{std::vector<int32_t>(9, 1), 2}, large{std::vector<int32_t>(40, 2), 30},
      masked{std::vector<int32_t>(64, 3), 64};
  const std::vector<const Example*> rows{&small, &small, &large, &masked};
  const Batch batch = batch_of(rows, 64, 0);
  const Batch first = part_of(batch, 0, 2), second = part_of(batch, 2, 2), none = part_of(batch, 3, 1);
  CHECK(first.inputs.shape() == Shape{2, 16});
  CHECK(row(first.targets, 1) ==
        std::vector<int32_t>{-1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1});
  CHECK(second.inputs.shape() == Shape{2, 48});
  CHECK(row(second.inputs, 1) == std::vector<int32_t>(48, 3));
  CHECK(none.inputs.shape() == Shape{1, 16});
  const Batch text{full({2, 64}, 5, DType::i32), full({2, 64}, 6, DType::i32), false};
  CHECK(part_of(text, 1, 1).inputs.raw() == text.inputs.rows(1, 1).raw());  // nothing is copied for nothing
}

TEST_CASE("sft: an epoch takes every example once, in an order of its own") {
  const auto examples = numbered({5, 3, 9, 7, 4, 8, 6});
  const auto order = [&](uint64_t seed) {
    ExampleStream stream(examples, 2, 10, seed, 0);
    std::vector<int32_t> order;
    for (int i = 0; i < 14; ++i)
      for (const int32_t first : firsts(stream.next())) order.push_back(first);
    return order;
  };
  const auto a = order(1);
  for (int epoch = 0; epoch < 4; ++epoch) {
    // A batch is sorted by length and may reach into the next epoch: count pairs of epochs.
    std::map<int32_t, int> times;
    for (int i = 0; i < 14; ++i) ++times[a[size_t(epoch / 2 * 14 + i)]];
    for (const auto& [example, count] : times) CHECK(count == 2);
    CHECK(times.size() == 7);
  }
  CHECK(a == order(1));
  CHECK(a != order(2));
  CHECK(std::vector(a.begin(), a.begin() + 14) != std::vector(a.begin() + 14, a.end()));

  ExampleStream stream(examples, 7, 10, 3, 0);
  for (int i = 0; i < 5; ++i) CHECK(firsts(stream.next()) == std::vector<int32_t>{1, 4, 0, 6, 3, 5, 2});
}

TEST_CASE("sft: a saved cursor continues exactly, in the middle of an epoch too") {
  const auto examples = numbered({5, 3, 9, 7, 4});
  ExampleStream stream(examples, 2, 10, 1, 0);
  for (int saved = 0; saved < 8; ++saved) {
    ExampleStream original = stream, resumed(examples, 2, 10, 1, 0);
    resumed.seek(nlohmann::json::parse(stream.cursor().dump()));
    for (int i = 0; i < 6; ++i) CHECK(firsts(original.next()) == firsts(resumed.next()));
    stream.next();
  }
  CHECK(error_of([&] { stream.seek({{"epoch", 3}}); }).find("examples") != std::string::npos);
}

}  // namespace rmoe::test
