// Incremental forward passes: a sequence is read once, and every further token costs one row per layer and
// the attention over what was kept. The model's own code runs (models/reading.hpp), without dropout and
// without a capacity: whether an expert is full would depend on who else is in the batch.
#pragma once

#include "models/model.hpp"
#include "models/reading.hpp"

namespace rmoe {

class Decoder {
 public:
  /// The model must outlive it. A const Decoder may be used by several threads, a Sequence by one at a time.
  explicit Decoder(const Model& model) : model_(model) {}

  /// What one sequence has read. A copy goes its own way: a shared prefix is read once and copied.
  using Sequence = SequenceState;
  Sequence start() const;

  /// Reads on; logits [1,V] after the last token, or [n,V] after each of n.
  Tensor read(Sequence& sequence, std::span<const int32_t> tokens, bool all = false) const;
  /// One token for each of S different sequences of any lengths: logits [S,V]. A sequence gets the same bits
  /// whoever else is in the step.
  Tensor step(std::span<Sequence* const> sequences, std::span<const int32_t> tokens) const;
  /// What both do: counts[i] tokens on in sequence i, the tokens of one behind those of the other; hidden is
  /// [1,N,C]. To be called under NoGrad.
  ModelOutput forward(std::span<Sequence* const> sequences, std::span<const int64_t> counts,
                      std::span<const int32_t> tokens) const;
  int64_t length(const Sequence& sequence) const { return sequence.length; }

 private:
  const Model& model_;
};

}  // namespace rmoe
