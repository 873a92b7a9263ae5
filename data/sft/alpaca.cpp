#include "data/sft/alpaca.hpp"

#include "data/records.hpp"
#include "engine/error.hpp"

#include <algorithm>

namespace rmoe {

std::string Instruction::prompt() const {
  std::string text = "Below is an instruction that describes a task";
  if (!input.empty()) text += ", paired with an input that provides further context";
  text += ". Write a response that appropriately completes the request.\n\n### Instruction:\n" + instruction;
  if (!input.empty()) text += "\n\n### Input:\n" + input;
  return text + "\n\n### Response:";
}

std::vector<Instruction> load_instructions(const std::filesystem::path& file) {
  std::vector<Instruction> instructions;
  for (const nlohmann::json& record : read_records(file)) {
    try {
      instructions.push_back({text_of(record, "instruction"),
                              record.contains("input") ? text_of(record, "input") : "",
                              text_of(record, "output")});
    } catch (const Error& error) {
      fail("sft: ", file.string(), ", record ", instructions.size(), ": ", error.what());
    }
  }
  RMOE_CHECK(!instructions.empty(), "sft: ", file.string(), " holds no instructions");
  return instructions;
}

Example encode(const Instruction& instruction, const Tokenizer& tokenizer, int64_t most) {
  const std::string prompt = instruction.prompt();
  Example example{tokenizer.encode(prompt + instruction.output), int64_t(tokenizer.encode(prompt).size())};
  RMOE_CHECK(tokenizer.eos(), "sft: the tokenizer has no token that ends a text");
  example.tokens.push_back(*tokenizer.eos());
  if (int64_t(example.tokens.size()) > most) example.tokens.resize(size_t(most));
  example.prompt = std::min(example.prompt, int64_t(example.tokens.size()));
  return example;
}

}  // namespace rmoe
