// Batches of samples drawn without order from a mixture of sources. A sample is T + 1 consecutive tokens of a
// source's documents, joined in order and cut every T tokens; documents end with eos inside of it, and
// nothing else marks them: attention reaches over. Each source is read sample by sample in the order of a
// permutation of its own for every epoch, and what is left of it behind the last whole sample is not used.
//
// Nothing is loaded, nothing is listed: the cursor is the number of samples each source has given, and row r
// of step s follows from (seed, s, r).
#pragma once

#include "data/shards/mixture.hpp"
#include "data/stream.hpp"

namespace rmoe {

struct TokenSource {
  Tokens tokens;
  double weight = 1;  // share of the samples
};

/// Of a batch of B rows, rank k of n computes rows [k B/n, (k + 1) B/n): the batch is the same for every n.
struct Rank {
  int64_t number = 0, count = 1;
};

class PackedStream : public Stream {
 public:
  PackedStream(std::vector<TokenSource> sources, int64_t B, int64_t T, uint64_t seed, Rank rank = {});
  /// [B / count, T]. Every row starts anew: restart is always set.
  Batch next() override;
  /// {"samples": [of each source]}.
  nlohmann::json cursor() const override;
  void seek(const nlohmann::json& cursor) override;

 private:
  int64_t sample_begin(int64_t source, int64_t number) const;

  std::vector<TokenSource> sources_;
  std::vector<int64_t> samples_;  // in an epoch of each source
  int64_t B_, T_;
  uint64_t seed_;
  Rank rank_;
  Mixture mixture_;
};

}  // namespace rmoe
