#include "ops/linear_cross_entropy/linear_cross_entropy.hpp"

#include "engine/dispatch.hpp"
#include "engine/flops.hpp"
#include "ops/cross_entropy/kernels.hpp"
#include "ops/linear/kernels.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe {
namespace {

struct Block {
  int64_t row, rows, column, columns;

  Tensor logits(const Tensor& buffer) const {
    return buffer.rows(0, rows * columns).reshape({rows, columns});
  }
  Tensor of_rows(const Tensor& t) const { return t.rows(row, rows); }
  Tensor of_columns(const Tensor& t) const { return t ? t.rows(column, columns) : t; }
};

/// Square blocks pass over x and weight least often; whole rows are taken if that many fit. The first block
/// is the largest; blocks of the same columns follow each other.
std::vector<Block> cut(int64_t N, int64_t V, int64_t most_logits) {
  const int64_t side = int64_t(std::sqrt(double(most_logits)));
  const int64_t rows = std::min(N, std::max(side, most_logits / V)),
                columns = std::min(V, most_logits / rows);
  std::vector<Block> blocks;
  for (int64_t column = 0; column < V; column += columns)
    for (int64_t row = 0; row < N; row += rows)
      blocks.push_back({row, std::min(rows, N - row), column, std::min(columns, V - column)});
  return blocks;
}

Tensor buffer_for(const Tensor& like, const std::vector<Block>& blocks) {
  return empty_like(like, {blocks[0].rows * blocks[0].columns});
}

void check(const Tensor& X, const Tensor& W, const Tensor& b, const Tensor& targets, int64_t most_logits) {
  RMOE_CHECK(X.rank() == 2 && X.dim(0) > 0, "linear_cross_entropy: x ", X.shape(),
             ", wanted [N,C] with at least one row");
  RMOE_CHECK(W.rank() == 2 && W.dim(0) > 0 && W.dim(1) == X.dim(1), "linear_cross_entropy: weight ",
             W.shape(), " does not fit x ", X.shape());
  RMOE_CHECK(!b || b.shape() == Shape{W.dim(0)}, "linear_cross_entropy: bias ", b.shape(),
             " does not fit weight ", W.shape());
  RMOE_CHECK(targets.dtype() == DType::i32, "linear_cross_entropy: targets are ", targets.dtype(),
             ", wanted i32");
  RMOE_CHECK(targets.shape() == Shape{X.dim(0)}, "linear_cross_entropy: targets ", targets.shape(),
             " do not fit x ", X.shape());
  RMOE_CHECK(most_logits >= 1, "linear_cross_entropy: blocks of ", most_logits, " logits, wanted at least 1");
}

}  // namespace

Var linear_cross_entropy(const Var& x, const Var& weight, const Var& bias, const Tensor& targets,
                         int64_t most_logits) {
  const Tensor X = x.value(), W = weight.value(), b = bias.value();
  check(X, W, b, targets, most_logits);
  const int64_t N = X.dim(0), C = X.dim(1), V = W.dim(0);

  const Tensor loss = empty_like(X, {}, acc_type(X.dtype()));
  const Tensor lse = empty_like(X, {N}, DType::f64), target_logit = empty_like(lse);
  const Tensor counted = empty_like(lse, {});
  const std::vector<Block> blocks = cut(N, V, most_logits);
  const Tensor buffer = buffer_for(X, blocks);
  const auto compute_logits = [=](const Tensor& logits, const Block& k) {
    DISPATCH(X, linear_fwd, logits, k.of_rows(X), k.of_columns(W), k.of_columns(b), k.rows, k.columns, C);
  };
  for (const Block& k : blocks) {
    const Tensor logits = k.logits(buffer);
    compute_logits(logits, k);
    DISPATCH(X, cross_entropy_fold, k.of_rows(lse), k.of_rows(target_logit), logits, k.of_rows(targets),
             k.column, k.rows, k.columns);
  }
  count_flops(2.0 * N * V * C);
  DISPATCH(X, cross_entropy_mean, loss, counted, lse, target_logit, targets, N, V);

  const Tensor kept = blocks.size() == 1 ? buffer : Tensor();
  return record("linear_cross_entropy", loss, {x, weight, bias}, [=](const Tensor& dloss, Grads& d) {
    const auto place = [&](int i) { return d.wants(i) ? d.place(i) : Place{}; };
    const Place dx = place(0), dw = place(1), db = place(2);
    const Tensor again = kept ? kept : buffer_for(X, blocks);
    for (const Block& k : blocks) {
      const Tensor logits = k.logits(again);  // becomes its own gradient
      if (!kept) compute_logits(logits, k);
      DISPATCH(X, cross_entropy_bwd, logits, dloss, logits, k.of_rows(targets), k.of_rows(lse), counted,
               k.column, k.rows, k.columns, 0.0);
      const double row_beta = k.column == 0 ? dx.beta : 1, column_beta = k.row == 0 ? dw.beta : 1;
      if (dx.into)
        DISPATCH(X, linear_bwd_x, k.of_rows(dx.into), logits, k.of_columns(W), k.rows, k.columns, C,
                 row_beta);
      if (dw.into)
        DISPATCH(X, linear_bwd_w, k.of_columns(dw.into), logits, k.of_rows(X), k.rows, k.columns, C,
                 column_beta);
      if (db.into)
        DISPATCH(X, linear_bwd_b, k.of_columns(db.into), logits, k.rows, k.columns,
                 k.row == 0 ? db.beta : 1.0);
    }
    count_flops(2.0 * N * V * C *
                (d.wants(0) + d.wants(1)));  // a second run over the logits is not the model's
  });
}

}  // namespace rmoe
