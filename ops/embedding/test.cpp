#include "ops/embedding/embedding.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

/// Tokens that repeat and leave some rows out: squares modulo V.
Tensor some_tokens(Shape shape, int64_t V) {
  std::vector<int32_t> tokens;
  for (int64_t n = 0; n < shape.numel(); ++n) tokens.push_back(int32_t((n * n + 1) % V));
  return from_vector(tokens, shape);
}

OpCase embedding_case(std::string name, Shape tokens_shape, Shape weight_shape) {
  const Tensor tokens = some_tokens(tokens_shape, weight_shape[0]);
  const auto reference = [=](const Arrays& in) {
    const int64_t C = in[0].shape[1];
    Shape shape = tokens.shape();
    shape.append(C);
    Array y(shape);
    for (int64_t k = 0; k < shape.numel(); ++k) y[k] = in[0][tokens.data<int32_t>()[k / C] * C + k % C];
    return Arrays{y};
  };
  return {.name = name,
          .inputs = {random(weight_shape)},
          .op = [=](const Vars& in) { return Vars{embedding(beside(in[0], tokens), in[0])}; },
          .reference = reference,
          .weights = {0}};
}

}  // namespace

TEST_CASE("embedding") {
  check_op(embedding_case("2x3 tokens of 5", {2, 3}, {5, 4}));
  check_op(embedding_case("one token, one row, one column", {1}, {1, 1}));
  check_op(embedding_case("no tokens: the gradient is zero", {0}, {3, 2}));
  check_op(embedding_case("several chunks of tokens and rows", {5, 67}, {53, 7}));
  check_op(embedding_case("one token for all positions", {100}, {1, 3}));
  check_op(embedding_case("runs over several pieces, more columns than threads", {7, 31}, {3, 300}));
  check_op(embedding_case("more counts than the sort's scan takes at once, keys of two digits", {4133},
                          {1009, 2}));
}

TEST_CASE("embedding leaves the gradients of absent rows alone when it adds") {
  const Var weight = Var::leaf(under_test(zeros({4, 2}, DType::f32)));
  const Tensor ones = under_test(full({2, 2}, 1, DType::f32));
  backward({embedding(under_test(from_vector<int32_t>({0, 0}, {2})), weight)}, {ones});
  backward({embedding(under_test(from_vector<int32_t>({3, 0}, {2})), weight)}, {ones});
  CHECK(to_array(weight.grad()).data == std::vector<double>{3, 3, 0, 0, 0, 0, 1, 1});
}

TEST_CASE("embedding names what does not fit") {
  const auto lookup = [](const Tensor& tokens, Shape weight) {
    return error_of([&] { embedding(tokens, Var(zeros(weight, DType::f32))); });
  };
  const Tensor tokens = from_vector<int32_t>({0, 6, 5}, {3});
  CHECK(lookup(tokens, {6, 2}) == "embedding: token 6 at position 1 is not in [0, 6)");
  CHECK(lookup(from_vector<int32_t>({-1}, {1}), {6, 2}) ==
        "embedding: token -1 at position 0 is not in [0, 6)");
  CHECK(lookup(tokens, {6}) == "embedding: weight [6] is not [V,C]");
  CHECK(lookup(zeros({3}, DType::f32), {6, 2}) == "embedding: tokens are f32, wanted i32");
}

}  // namespace rmoe::test
