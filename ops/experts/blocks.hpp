// How the CPU's kernels cut experts into tasks. Rows go in blocks that stay in a cache from the gather to the
// last product; weight gradients go in windows of gathered columns, so that a gathered matrix [M,C] is never
// made. The bits of a product do not depend on either.
#pragma once

#include "engine/gemm.hpp"
#include "engine/parallel.hpp"
#include "ops/expert_dispatch/kernels.hpp"
#include "ops/experts/kernels.hpp"

#include <vector>

namespace rmoe::cpu {

/// Rows [begin, begin + count) of one expert.
struct RowBlock {
  int64_t expert, begin, count;
};

constexpr int64_t kTile = 6;                // rows of a product's tile
constexpr int64_t kBlockRows = 20 * kTile;  // at most in a block: buffers have this size, whatever the routes

/// f(block) for pieces of a block in order: even, of whole tiles, at most `most` rows, which are whole tiles
/// too.
template <class F>
void for_pieces(const RowBlock& block, int64_t most, F&& f) {
  const int64_t pieces = (block.count + most - 1) / most;
  const int64_t rows = pieces == 0 ? 0 : ((block.count + pieces - 1) / pieces + kTile - 1) / kTile * kTile;
  for (int64_t begin = 0; begin < block.count; begin += rows)
    f(RowBlock{block.expert, block.begin + begin, std::min(rows, block.count - begin)});
}

/// f(part) for parts of every expert's rows, each a task: long enough that packing the expert's weights first
/// costs little, as far as there are enough for all threads.
template <class F>
void for_expert_parts(const ExpertRows& rows, F&& f) {
  const int64_t blocks = rows.M / (4 * thread_count()) / kBlockRows;
  const int64_t most = std::clamp<int64_t>(blocks, 1, 4) * kBlockRows;
  std::vector<RowBlock> parts;
  for (int64_t e = 0; e < rows.E; ++e)
    for_pieces({e, rows.offsets[e], rows.offsets[e + 1] - rows.offsets[e]}, most,
               [&](const RowBlock& part) { parts.push_back(part); });
  parallel_for(int64_t(parts.size()), [&](int64_t i) { f(parts[size_t(i)]); });
}

/// f(block) for the blocks of a part, in order.
template <class F>
void for_blocks(const RowBlock& part, F&& f) {
  for_pieces(part, kBlockRows, f);
}

template <class F>
void for_expert_blocks(const ExpertRows& rows, F&& f) {
  for_expert_parts(rows, [&](const RowBlock& part) { for_blocks(part, f); });
}

/// The rows of a block out of those of all tokens, [count, C].
template <class T>
void gather(T* to, const T* from, const ExpertRows& rows, const RowBlock& block) {
  expert_dispatch_fwd<T>(to, from, rows.assignment + block.begin, block.count, rows.K, rows.C);
}

/// dots_i = f(m, e, dy, dh, gate) for the row m of every assignment i that was not dropped, else 0: dy the
/// row's of dout [N,C], dh = dy w2_e.
template <class T, class Row>
void for_hidden_gradients(acc_t<T>* dots, const T* dout, const T* w2, const acc_t<T>* gates,
                          const ExpertRows& rows, Row&& f) {
  const int64_t F = rows.F, C = rows.C;
  std::fill_n(dots, rows.N * rows.K, T(0));
  for_expert_blocks(rows, [&](const RowBlock& block) {
    const auto [e, begin, n] = block;
    const Scratch<T> dy(kBlockRows * C), dh(kBlockRows * F);
    gather(dy.data(), dout, rows, block);
    gemm_serial<T>(Trans::no, Trans::no, n, F, C, dy.data(), C, w2 + e * C * F, F, 0, dh.data(), F);
    for (int64_t r = 0; r < n; ++r) {
      const int64_t i = rows.assignment[begin + r];
      dots[i] = f(begin + r, e, dy.data() + r * C, dh.data() + r * F, gates[i]);
    }
  });
}

/// Columns [column, column + width) of a block of gathered rows, dense.
template <class T>
struct GatheredColumns {
  const T* data;
  RowBlock block;
  int64_t column, width;
  bool first;  // of the expert's blocks; what comes later adds to it
};

/// f(columns) for every expert, every window of x's columns and every block of its rows, in order; for an
/// expert without rows once, with none. An expert's windows are tasks of their own.
template <class T, class F>
void for_gathered_columns(const T* x, const ExpertRows& rows, F&& f) {
  constexpr int64_t kRows = 512, kColumns = 64;
  const int64_t windows = (rows.C + kColumns - 1) / kColumns;
  parallel_for(rows.E * windows, [&](int64_t task) {
    const int64_t e = task / windows, column = task % windows * kColumns;
    const int64_t width = std::min(kColumns, rows.C - column), end = rows.offsets[e + 1];
    const Scratch<T> gathered(kRows * width);
    int64_t begin = rows.offsets[e];
    do {
      const int64_t count = std::min(kRows, end - begin);
      for (int64_t r = 0; r < count; ++r)
        std::copy_n(x + rows.assignment[begin + r] / rows.K * rows.C + column, width,
                    gathered.data() + r * width);
      f(GatheredColumns<T>{gathered.data(), {e, begin, count}, column, width, begin == rows.offsets[e]});
      begin += count;
    } while (begin < end);
  });
}

/// dw_e [P,C] = beta dw_e + d_e^T x_e in a window of columns: d [M,P].
template <class T>
void add_to_weights(acc_t<T>* dw, const T* d, const GatheredColumns<T>& x, const ExpertRows& rows, int64_t P,
                    double beta) {
  gemm_serial<T>(Trans::yes, Trans::no, P, x.width, x.block.count, d + x.block.begin * P, P, x.data, x.width,
                 x.first ? T(beta) : T(1), dw + x.block.expert * P * rows.C + x.column, rows.C);
}

}  // namespace rmoe::cpu
