#include "data/shards/packed_stream.hpp"

#include "data/shards/permutation.hpp"

#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

Mixture mixture_of(const std::vector<TokenSource>& sources) {
  std::vector<double> weights;
  for (const TokenSource& source : sources) weights.push_back(source.weight);
  return Mixture(weights);
}

}  // namespace

PackedStream::PackedStream(std::vector<TokenSource> sources, int64_t B, int64_t T, uint64_t seed, Rank rank)
    : sources_(std::move(sources)), B_(B), T_(T), seed_(seed), rank_(rank), mixture_(mixture_of(sources_)) {
  RMOE_CHECK(B > 0 && T > 0, "data: a batch of ", B, " samples of ", T, " tokens is empty");
  RMOE_CHECK(rank.count > 0 && rank.number >= 0 && rank.number < rank.count, "data: no rank ", rank.number,
             " of ", rank.count);
  RMOE_CHECK(B % rank.count == 0, "data: a batch of ", B, " samples does not divide among ", rank.count,
             " ranks");
  for (size_t s = 0; s < sources_.size(); ++s) {
    const int64_t n = sources_[s].tokens.size();
    RMOE_CHECK(n > T, "data: source ", s, " has ", n, " tokens, a sample needs ", T + 1,
               ": use shorter blocks or more text");
    samples_.push_back((n - 1) / T);
  }
}

int64_t PackedStream::sample_begin(int64_t source, int64_t number) const {
  const int64_t n = samples_[size_t(source)], epoch = number / n;
  const uint64_t key = mix(mix(seed_, hash("data.shuffle")), mix(uint64_t(source), uint64_t(epoch)));
  return Permutation(n, key)(number % n) * T_;
}

Batch PackedStream::next() {
  const int64_t rows = B_ / rank_.count, first = rank_.number * rows;
  Batch batch = empty_batch(rows, T_, true);
  for (int64_t r = 0; r < B_; ++r) {
    const int64_t source = mixture_.next();
    if (r < first || r >= first + rows) continue;
    const int64_t number = mixture_.taken()[size_t(source)] - 1;
    read_row(sources_[size_t(source)].tokens, sample_begin(source, number), r - first, batch);
  }
  return batch;
}

nlohmann::json PackedStream::cursor() const { return {{"samples", mixture_.taken()}}; }

void PackedStream::seek(const nlohmann::json& cursor) {
  const bool there = cursor.is_object() && cursor.contains("samples") && cursor["samples"].is_array();
  RMOE_CHECK(there, "data: a cursor ", cursor.dump(),
             " without \"samples\": it was saved by another kind of stream");
  std::vector<int64_t> samples;
  for (const nlohmann::json& count : cursor["samples"]) {
    RMOE_CHECK(count.is_number_integer(), "data: a cursor with ", count.dump(), " samples of a source");
    samples.push_back(count.get<int64_t>());
  }
  mixture_.seek(std::move(samples));
}

}  // namespace rmoe
