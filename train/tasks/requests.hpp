// Documents as token sequences, by the rule of lm-evaluation-harness.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "train/scoring.hpp"
#include "train/tasks/task.hpp"

namespace rmoe {

/// One request per choice: the context's tokens and then those that the choice, behind one space, adds to
/// them. White space at the end of the context belongs to the choice. An empty context is the token
/// that begins (or else ends) a text. With max_length, only the last max_length + 1 tokens stay: the model
/// then reads max_length.
std::vector<ScoreRequest> requests_of(const Question& question, const Tokenizer& tokenizer,
                                      int64_t max_length = 0);

}  // namespace rmoe
