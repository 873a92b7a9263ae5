// Reading sequences a few tokens at a time: what each keeps between two forward passes (its keys and values
// of every layer), and how attention finds it. A router's state runs over layers, never over time, so routing
// keeps nothing.
#pragma once

#include "autograd/var.hpp"

#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace rmoe {

/// The keys and values that one sequence left in one layer, a row per position. A copy owns its rows.
class KeptKeys {
 public:
  KeptKeys() = default;
  KeptKeys(const KeptKeys& other);
  KeptKeys(KeptKeys&&) = default;
  KeptKeys& operator=(const KeptKeys& other) { return *this = KeptKeys(other); }
  KeptKeys& operator=(KeptKeys&&) = default;

  /// Adds keys and values [1,n,W]. Room doubles when there is none left; then only the last `window`
  /// positions are taken along.
  void append(const Tensor& keys, const Tensor& values, int64_t window = std::numeric_limits<int64_t>::max());
  int64_t size() const { return size_; }
  Var keys(int64_t last) const { return last_rows(keys_, last); }      // [1,last,W]
  Var values(int64_t last) const { return last_rows(values_, last); }  // [1,last,W]

 private:
  Var last_rows(const Tensor& rows, int64_t last) const {
    return Var(rows.rows(size_ - last, last).reshape({1, last, rows.dim(1)}));
  }

  Tensor keys_, values_;  // [room,W]
  int64_t size_ = 0;
};

/// What a sequence has read.
struct SequenceState {
  int64_t length = 0;            // tokens
  std::vector<KeptKeys> layers;  // one per layer
};

/// A forward pass over tokens [1,N] that belong to several sequences, one after the other.
struct Reading {
  std::span<SequenceState* const> sequences;
  std::span<const int64_t> tokens;  // of each; they sum to N
};

/// The attention of one layer: q, k and v [B,T,*] of tokens of which the first stands at position `first`.
/// `kept` is what is before them, and takes their keys and values; null: they start their streams.
using Attend = std::function<Var(const Var& q, const Var& k, const Var& v, KeptKeys* kept, int64_t first)>;

/// attend() over all streams at once or, with a `reading`, over each sequence for itself: what a sequence
/// sees and how that is computed does not depend on the others.
Var attend_each(const Reading* reading, int64_t layer, const Var& q, const Var& k, const Var& v,
                const Attend& attend);

}  // namespace rmoe
