#include "ops/embedding/embedding.hpp"

#include "engine/dispatch.hpp"
#include "ops/embedding/kernels.hpp"

namespace rmoe {

Var embedding(const Tensor& tokens, const Var& weight) {
  const Tensor W = weight.value();
  RMOE_CHECK(W.rank() == 2, "embedding: weight ", W.shape(), " is not [V,C]");
  RMOE_CHECK(tokens.dtype() == DType::i32, "embedding: tokens are ", tokens.dtype(), ", wanted i32");
  const int64_t N = tokens.numel(), V = W.dim(0), C = W.dim(1);

  Shape shape = tokens.shape();
  shape.append(C);
  Tensor y = empty_like(W, shape);  // [..., C]
  DISPATCH(W, embedding_fwd, y, tokens, W, N, V, C);
  return record("embedding", y, {weight}, [=](const Tensor& dy, Grads& d) {
    const auto [dw, beta] = d.place(0);
    DISPATCH(dy, embedding_bwd, dw, dy, tokens, N, V, C, beta);
  });
}

}  // namespace rmoe
