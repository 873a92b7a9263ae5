#include "ops/causal_attention/causal_attention.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

Arrays reference(const Arrays& in, int64_t H) {
  const Array &q = in[0], &k = in[1], &v = in[2];
  const int64_t B = q.shape[0], T = q.shape[1], S = k.shape[1], D = q.shape[2] / H, G = k.shape[2] / D;
  Array o(q.shape);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t h = 0; h < H; ++h)
      for (int64_t t = 0; t < T; ++t) {
        const auto kv = [&](int64_t s) { return ((b * S + s) * G + h * G / H) * D; };
        const int64_t at = ((b * T + t) * H + h) * D;
        const int64_t last = S - T + t;
        std::vector<double> p(last + 1);
        double most = -INFINITY, sum = 0;
        for (int64_t s = 0; s <= last; ++s) {
          for (int64_t d = 0; d < D; ++d) p[s] += q[at + d] * k[kv(s) + d] / std::sqrt(D);
          most = std::max(most, p[s]);
        }
        for (double& x : p) sum += x = std::exp(x - most);
        for (int64_t s = 0; s <= last; ++s)
          for (int64_t d = 0; d < D; ++d) o[at + d] += p[s] / sum * v[kv(s) + d];
      }
  return {o};
}

OpCase sized(std::string name, int64_t B, int64_t T, int64_t H, int64_t G, int64_t D, int64_t before = 0) {
  const int64_t S = before + T;
  OpCase c{std::move(name),
           {random({B, T, H * D}, -2, 2), random({B, S, G * D}, -2, 2, 2), random({B, S, G * D}, -1, 1, 3)},
           [=](const Vars& in) { return Vars{causal_attention(in[0], in[1], in[2], H)}; },
           [=](const Arrays& in) { return reference(in, H); }};
  if (S == 1) c.float_grad_tolerance = 1e-3;  // a single score has no gradient: what comes out is rounding
  c.bf16_tolerance = D == 1 ? 5e-2 : 2e-2;    // p, its gradient and o in dp - dy . o are rounded
  return c;
}

std::vector<float> values(const Var& x) {
  const auto span = x.value().span<float>();
  return {span.begin(), span.end()};
}

}  // namespace

TEST_CASE("causal_attention") {
  check_op(sized("one token", 2, 1, 2, 2, 3));
  check_op(sized("one head of one", 1, 5, 1, 1, 1));
  check_op(sized("prime heads", 1, 11, 7, 7, 5));
  check_op(sized("several blocks, few heads", 1, 35, 2, 2, 44));
  check_op(sized("several blocks, many heads", 3, 18, 6, 6, 33));
  check_op(sized("two query heads per key head", 2, 23, 4, 2, 8));
  check_op(sized("one key head for all", 1, 70, 3, 1, 5));
  check_op(sized("one key head for all, many batches", 17, 19, 2, 1, 2));
  check_op(sized("one query behind others", 1, 1, 4, 2, 5, 36));
  check_op(sized("queries behind other positions", 2, 19, 4, 2, 5, 70));
  check_op(sized("keys alone", 2, 0, 2, 2, 4, 3));
  check_op(sized("no tokens", 2, 0, 2, 2, 4));
  check_op(sized("no batch", 0, 3, 2, 2, 4));
}

TEST_CASE("causal_attention of heads as wide as the tiles of tensor cores, and wider") {
  check_op(sized("D = 64, two blocks of queries", 1, 150, 2, 1, 64));
  check_op(sized("D = 64 behind other positions", 1, 70, 1, 1, 64, 75));
  check_op(sized("D = 128, two query heads per key head", 1, 140, 2, 1, 128));
  check_op(sized("D = 128 behind other positions", 2, 9, 1, 1, 128, 35));
  check_op(sized("D = 72, a tile of 128", 1, 67, 1, 1, 72));
  check_op(sized("D = 30, pairs", 1, 133, 2, 2, 30));
  check_op(sized("D = 65, single elements", 1, 40, 1, 1, 65));
  check_op(sized("D = 136, without tensor cores", 1, 35, 1, 1, 136));
}

TEST_CASE("causal_attention in several backward passes over the keys") {
  for (const OpCase& c : {sized("", 1, 1300, 1, 1, 3), sized("", 1, 40, 2, 1, 3, 1200)}) {
    Vars in;
    for (const Array& x : c.inputs) in.push_back(Var::leaf(to_tensor(x, DType::f64)));
    const GradcheckResult result = gradcheck([&] { return c.op(in); }, in, {.most = 7});
    CHECK_MESSAGE(result.error < 1e-7, result.where);
  }
  // The last pass begins between the first and the last key that the queries see themselves.
  check_op(sized("", 1, 40, 1, 1, 1, 1010));
}

TEST_CASE("causal_attention of the last queries alone is that of all queries, cut off") {
  const int64_t S = 90, T = 13, C = 12;
  const OpCase c = sized("", 1, S, 3, 3, 4);
  const Tensor q = to_tensor(c.inputs[0], DType::f32);
  const Var k(to_tensor(c.inputs[1], DType::f32)), v(to_tensor(c.inputs[2], DType::f32));
  const Var last(q.reshape({S, C}).rows(S - T, T).reshape({1, T, C}));
  const auto all = values(causal_attention(Var(q), k, v, 3)), some = values(causal_attention(last, k, v, 3));
  for (size_t i = 0; i < some.size(); ++i)
    CHECK(some[i] == doctest::Approx(all[all.size() - some.size() + i]).scale(1e-2).epsilon(1e-5));
}

TEST_CASE("causal_attention takes one Var for queries, keys and values") {
  check_op({"self",
            {random({2, 20, 12}, -2, 2)},
            [](const Vars& in) { return Vars{causal_attention(in[0], in[0], in[0], 3)}; },
            [](const Arrays& in) {
              return reference({in[0], in[0], in[0]}, 3);
            }});
  check_op({"self, many heads",
            {random({3, 20, 12}, -2, 2)},
            [](const Vars& in) { return Vars{causal_attention(in[0], in[0], in[0], 6)}; },
            [](const Arrays& in) {
              return reference({in[0], in[0], in[0]}, 6);
            }});
}

TEST_CASE("causal_attention computes only the gradients that are wanted") {
  for (int wanted = 0; wanted < 3; ++wanted) {
    OpCase c = sized(concat("only input ", wanted), 2, 19, 2, 1, 4);
    for (int i = 0; i < 3; ++i)
      if (i != wanted) c.constant.push_back(i);
    check_op(c);
  }
}

TEST_CASE("causal_attention: a later token changes nothing earlier") {
  const int64_t T = 100, C = 8, changed = 70;
  const OpCase c = sized("", 1, T, 2, 2, 4);
  Tensor q = to_tensor(c.inputs[0], DType::f32), k = to_tensor(c.inputs[1], DType::f32),
         v = to_tensor(c.inputs[2], DType::f32);
  const auto before = values(causal_attention(Var(q), Var(k), Var(v), 2));
  for (const Tensor& x : {q, k, v})
    for (int64_t i = changed * C; i < T * C; ++i) x.data<float>()[i] = -3;
  const auto after = values(causal_attention(Var(q), Var(k), Var(v), 2));
  CHECK(std::equal(before.begin(), before.begin() + changed * C, after.begin()));
  CHECK(before[changed * C] != after[changed * C]);
}

TEST_CASE("causal_attention stays finite with scores of +-1e4") {
  const auto large = [](uint64_t seed) { return to_tensor(random({1, 80, 8}, -140, 140, seed), DType::f32); };
  const Vars in{Var::leaf(large(1)), Var::leaf(large(2)), Var::leaf(large(3))};
  const Var o = causal_attention(in[0], in[1], in[2], 1);
  backward({o}, {full(o.shape(), 1, DType::f32)});
  CHECK(first_non_finite(o.value()) == -1);
  for (const Var& x : in) CHECK(first_non_finite(x.grad()) == -1);
}

TEST_CASE("causal_attention names the shapes that do not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  const auto error = [&](Shape q, Shape k, Shape v, int64_t heads) {
    return error_of([&] { causal_attention(t(q), t(k), t(v), heads); });
  };
  CHECK(error({2, 3, 8}, {2, 3, 8}, {2, 3, 8}, 3) == "causal_attention: 3 heads do not divide q [2,3,8]");
  CHECK(error({2, 3, 8}, {2, 2, 8}, {2, 2, 8}, 2) ==
        "causal_attention: k [2,2,8] does not fit q [2,3,8] of 2 heads");
  CHECK(error({2, 3, 18}, {2, 3, 12}, {2, 3, 12}, 3) ==
        "causal_attention: k [2,3,12] does not fit q [2,3,18] of 3 heads");
  CHECK(error({2, 3, 8}, {2, 3, 4}, {2, 3, 8}, 2) == "causal_attention: v [2,3,8] does not fit k [2,3,4]");
}

}  // namespace rmoe::test
