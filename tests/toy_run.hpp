// A toy corpus and config on which the real binary trains in a moment.
#pragma once

#include "tests/process.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::test {

/// Writes toy.txt and toy.toml into the folder: a 2-layer lm, 4 streams of 16 tokens, span 24, dropout on.
void make_toy(const TestFolder& folder);

/// The same with a text of bytes of every kind that tasks and instructions need, sft.toml, and words.json
/// with ten instructions.
void make_instructions(const TestFolder& folder);
/// Small files of all tasks.
std::string toy_tasks();
/// What makes a llama of the toy.
extern const std::vector<std::string> kToyLlama;

/// `rmoe train toy.toml --run RUN extra...`
std::vector<std::string> train_toy(const std::string& run, std::vector<std::string> extra = {});

nlohmann::json read_json(const std::filesystem::path& path);
/// A result of `rmoe reproduce` without what was measured: what must come out the same however often it was
/// cut off.
nlohmann::json repeatable(const std::filesystem::path& path);

/// The numbers after "key": in every line of RUN/metrics.jsonl that has it, as text.
std::vector<std::string> metric(const std::filesystem::path& run, const std::string& key);

}  // namespace rmoe::test
