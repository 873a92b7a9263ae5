// Validation and test, by one of two protocols:
//
//   original  whole blocks along a few parallel streams, the tail left out, the memory carried from block to
//             block: what the original experiments did (experiments.md section 2), and quick
//   exact     one stream: every token but the first is predicted exactly once, with all the memory there is
#pragma once

#include "data/tokens.hpp"
#include "models/model.hpp"

#include <functional>
#include <string>

namespace rmoe {

struct Evaluation {
  double loss = 0;     // nats per token
  int64_t tokens = 0;  // predicted
  double bpc() const;
  double ppl() const;
  /// "BPC 2.1069" if a token is a byte, else "PPL 31.28".
  std::string text(bool byte_level) const;
};

/// Called after each block; returns false to stop early.
using Tick = std::function<bool(int64_t done, int64_t all)>;

/// The original protocol: at most `blocks` blocks of [streams, T]; -1 takes all whole ones.
Evaluation evaluate(const Model& model, const Tokens& tokens, int64_t streams, int64_t T, int64_t blocks,
                    const Tick& tick = {});

/// The exact protocol, in blocks of T.
Evaluation evaluate_exact(const Model& model, const Tokens& tokens, int64_t T, const Tick& tick = {});

}  // namespace rmoe
