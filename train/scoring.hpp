// How likely a model finds texts, token by token: what evaluation tasks and the server score with.
//
// Sequences run in batches of about a thousand tokens, without padding; those next to each other that have
// their beginning in common (the choices of a question) share one reading of it. Batches are dealt to
// threads. All that a model computes about a token depends on the tokens before it alone, to the last bit (a
// product's elements are sums in one order, whatever else is in the matrix): so do the scores, whatever else
// is scored at the same time, in which order, on how many threads. No more logits exist at once than one
// block per thread.
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

/// A sequence of which only tokens [first, end) are wanted: the logits of others are not computed, and what
/// is before token first - 1 is read once for neighbours that have it in common.
struct ScoreRequest {
  std::vector<int32_t> tokens;
  int64_t first = 1;
};

/// Scores of the tokens asked for, in order. `tick` counts sequences, batch by batch; once it returns false
/// the rest is given up, and what has not been scored is empty.
std::vector<std::vector<TokenScore>> score(const Model& model, std::span<const ScoreRequest> requests,
                                           const Tick& tick = {});

/// The scores of `targets` [rows] under logits f32 [rows, V].
std::vector<TokenScore> score_rows(const Tensor& logits, std::span<const int32_t> targets);

}  // namespace rmoe
