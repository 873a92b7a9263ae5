// Batches of examples for fine-tuning: one example a row, in another order every epoch.
#pragma once

#include "data/sft/alpaca.hpp"
#include "data/stream.hpp"

namespace rmoe {

/// A batch [examples, T]. Row b holds its example's tokens and, behind them, `filler`; the target at a
/// position is the next token if that is to be learned, else -1. Examples must not be longer than T.
Batch batch_of(std::span<const Example* const> examples, int64_t T, int32_t filler);

/// Batches of B examples without end. An epoch goes through all examples once, in an order drawn from (seed,
/// epoch); a batch may end one epoch and begin the next. The rows of a batch are sorted by length, so that
/// the parts it is computed in hold rows of similar length. The examples must outlive the stream.
class ExampleStream : public Stream {
 public:
  ExampleStream(std::span<const Example> examples, int64_t B, int64_t T, uint64_t seed, int32_t filler);
  Batch next() override;
  /// {"examples": taken so far}.
  nlohmann::json cursor() const override;
  void seek(const nlohmann::json& cursor) override;

 private:
  const Example& example(int64_t position) const;

  std::span<const Example> examples_;
  int64_t B_, T_;
  uint64_t seed_;
  int32_t filler_;
  int64_t taken_ = 0;
};

}  // namespace rmoe
