// How likely a model finds texts, token by token: what evaluation tasks and the server score with.
//
// Every sequence runs through the model by itself, and different sequences run on different threads. So the
// bits of a sequence's scores depend on the sequence alone: not on what else is scored with it, in which
// order, or on how many threads. No padding is computed, and no more logits exist at once than one block per
// thread.
#pragma once

#include "models/model.hpp"
#include "train/evaluate.hpp"

namespace rmoe {

/// One token given all before it. `best` is the likeliest token there, the lowest id on ties; the two
/// log-probabilities (nats) have the same bits if it is the token itself.
struct TokenScore {
  float log_prob;
  int32_t best;
  float best_log_prob;
};

/// For a sequence of n tokens the scores of its last n - 1.
std::vector<std::vector<TokenScore>> score(const Model& model,
                                           std::span<const std::vector<int32_t>> sequences);

/// A sequence of which only tokens [first, end) are wanted: the logits of others are not computed.
struct ScoreRequest {
  std::vector<int32_t> tokens;
  int64_t first = 1;
};

/// Scores of the tokens asked for, in order. `tick` counts sequences; once it returns false the rest is given
/// up, and what has not been scored is empty.
std::vector<std::vector<TokenScore>> score(const Model& model, std::span<const ScoreRequest> requests,
                                           const Tick& tick = {});

/// The scores of `targets` [rows] under logits f32 [rows, V].
std::vector<TokenScore> score_rows(const Tensor& logits, std::span<const int32_t> targets);

}  // namespace rmoe
