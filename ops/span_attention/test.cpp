#include "ops/span_attention/span_attention.hpp"
#include "tests/op_case.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

constexpr RandomStream kRandom{.seed = 5, .stream = 77, .offset = 13};

struct Sizes {
  int64_t B, T, L, H, D;
};

Arrays reference(const Arrays& in, const Sizes& n, double dropout) {
  const Array &q = in[0], &k = in[1], &v = in[2], &pe = in[3];
  Array o(q.shape);
  for (int64_t b = 0; b < n.B; ++b)
    for (int64_t h = 0; h < n.H; ++h)
      for (int64_t t = 0; t < n.T; ++t) {
        const auto key = [&](int64_t j) { return ((b * (n.L + n.T) + t + j) * n.H + h) * n.D; };
        const int64_t at = ((b * n.T + t) * n.H + h) * n.D;
        std::vector<double> p(n.L);
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < n.L; ++j) {
          for (int64_t d = 0; d < n.D; ++d)
            p[j] += q[at + d] * (k[key(j) + d] + pe[d * n.L + j]) / std::sqrt(n.D);
          most = std::max(most, p[j]);
        }
        for (double& x : p) sum += x = std::exp(x - most);
        for (int64_t j = 0; j < n.L; ++j) {
          const int64_t number = kRandom.offset + ((b * n.H + h) * n.T + t) * n.L + j;
          if (uniform_at(kRandom.seed, kRandom.stream, number) < dropout) continue;
          for (int64_t d = 0; d < n.D; ++d) o[at + d] += p[j] / sum / (1 - dropout) * v[key(j) + d];
        }
      }
  return {o};
}

OpCase sized(std::string name, const Sizes& n, double dropout = 0) {
  const Shape queries{n.B, n.T, n.H * n.D}, keys{n.B, n.L + n.T, n.H * n.D};
  OpCase c{
      std::move(name),
      {random(queries, -2, 2), random(keys, -1, 1, 2), random(keys, -1, 1, 3), random({n.D, n.L}, -1, 1, 4)},
      [=](const Vars& in) { return Vars{span_attention(in[0], in[1], in[2], in[3], n.H, dropout, kRandom)}; },
      [=](const Arrays& in) { return reference(in, n, dropout); }};
  c.weights = {3};
  c.bf16_tolerance = 2e-2;  // p, its gradient and o in dp - dy . o are rounded
  return c;
}

/// The score of a single slot has no gradient: what comes out is rounding.
OpCase single(OpCase c) {
  c.float_grad_tolerance = 1e-3;
  return c;
}

std::vector<float> values(const Var& x) {
  const auto span = x.value().span<float>();
  return {span.begin(), span.end()};
}

Vars constants(const Arrays& arrays) {
  Vars vars;
  for (const Array& x : arrays) vars.emplace_back(to_tensor(x, DType::f32));
  return vars;
}

}  // namespace

TEST_CASE("span_attention") {
  check_op(single(sized("one token, one slot", {1, 1, 1, 1, 1})));
  check_op(sized("one token", {2, 1, 6, 2, 3}));
  check_op(single(sized("one slot", {2, 19, 1, 2, 3})));
  check_op(sized("span shorter than the block of tokens", {1, 37, 7, 2, 5}));
  check_op(sized("span longer", {2, 5, 23, 2, 5}));
  check_op(sized("several blocks, D = 44", {1, 35, 21, 1, 44}));
  check_op(sized("several blocks, many heads, D = 33", {3, 18, 9, 6, 33}));
  check_op(sized("prime heads", {1, 11, 4, 13, 2}));
  check_op(sized("more heads than partial sums", {13, 3, 2, 5, 2}));
  check_op(sized("no tokens", {2, 0, 3, 2, 4}));
  check_op(sized("no batch", {0, 2, 3, 2, 4}));
}

TEST_CASE("span_attention with dropout") {
  check_op(single(sized("one slot", {1, 19, 1, 2, 2}, 0.5)));
  check_op(sized("few heads", {1, 37, 7, 2, 5}, 0.1));
  check_op(sized("many heads", {4, 18, 9, 5, 3}, 0.3));
  check_op(sized("rows longer than a run of random numbers", {1, 3, 150, 1, 3}, 0.1));
}

TEST_CASE("span_attention in several blocks of queries, several backward passes over the slots") {
  for (const Sizes& n : {Sizes{1, 20, 1100, 1, 3}, Sizes{1, 150, 21, 2, 3}, Sizes{16, 70, 9, 1, 2}}) {
    const OpCase c = sized("", n, 0.1);
    Vars in;
    for (const Array& x : c.inputs) in.push_back(Var::leaf(to_tensor(x, DType::f64)));
    const GradcheckResult result = gradcheck([&] { return c.op(in); }, in, {.most = 23});
    CHECK_MESSAGE(result.error < 1e-7, result.where);
  }
}

TEST_CASE("span_attention with blocks of many queries") {
  const Sizes n{1, 100, 200, 1, 4};
  const OpCase c = sized("", n, 0.1);
  const Var o = c.op(constants(c.inputs))[0];
  const Array wanted = reference(c.inputs, n, 0.1)[0], got = to_array(o.value());
  for (size_t i = 0; i < wanted.data.size(); ++i) REQUIRE(got[i] == doctest::Approx(wanted[i]).epsilon(1e-5));
}

TEST_CASE("span_attention takes one Var for keys and values") {
  const Sizes n{2, 20, 5, 3, 4};
  OpCase c{"k = v",
           {random({2, 20, 12}, -2, 2), random({2, 25, 12}), random({4, 5})},
           [=](const Vars& in) { return Vars{span_attention(in[0], in[1], in[1], in[2], 3, 0, kRandom)}; },
           [=](const Arrays& in) {
             return reference({in[0], in[1], in[1], in[2]}, n, 0);
           }};
  c.weights = {2};
  check_op(c);
}

TEST_CASE("span_attention computes only the gradients that are wanted") {
  for (int wanted = 0; wanted < 4; ++wanted) {
    OpCase c = sized(concat("only input ", wanted), {2, 19, 6, 2, 3}, 0.2);
    for (int i = 0; i < 4; ++i)
      if (i != wanted) c.constant.push_back(i);
    check_op(c);
  }
}

TEST_CASE("span_attention: a token depends on the L positions before it and on nothing else") {
  const Sizes n{1, 90, 40, 2, 4};
  const int64_t C = n.H * n.D;
  const OpCase c = sized("", n, 0.1);
  const auto before = values(c.op(constants(c.inputs))[0]);
  for (int64_t position : {0, 39, 40, 75, 129}) {
    Arrays inputs = c.inputs;
    for (int i : {1, 2})
      for (int64_t j = 0; j < C; ++j) inputs[i][position * C + j] = 3;
    const auto after = values(c.op(constants(inputs))[0]);
    for (int64_t t = 0; t < n.T; ++t) {
      const bool same = std::equal(&before[t * C], &before[t * C] + C, &after[t * C]);
      CHECK(same == (position < t || position >= t + n.L));  // t sits at position L + t
    }
  }
}

TEST_CASE("span_attention: empty memory takes part with its positional score") {
  // Keys and values are zero but for one: its weight is exp(q . key_pe_j) among those of the other slots.
  const Vars in{Var(full({1, 1, 2}, 1, DType::f64)), Var(zeros({1, 4, 2}, DType::f64)),
                Var(from_vector<double>({0, 0, 0, 0, 1, 1, 0, 0}, {1, 4, 2})),
                Var(from_vector<double>({.1, .2, .3, .4, .5, .6}, {2, 3}))};
  const double r = std::sqrt(2), a = std::exp(.5 / r), b = std::exp(.7 / r), c = std::exp(.9 / r);
  const Var o = span_attention(in[0], in[1], in[2], in[3], 1, 0, kRandom);
  CHECK(o.value().span<double>()[0] == doctest::Approx(c / (a + b + c)));
}

TEST_CASE("span_attention stays finite with scores of +-1e4") {
  const auto large = [](Shape s, uint64_t seed) {
    return Var::leaf(to_tensor(random(s, -100, 100, seed), DType::f32));
  };
  const Vars in{large({1, 40, 8}, 1), large({1, 70, 8}, 2), large({1, 70, 8}, 3), large({8, 30}, 4)};
  const Var o = span_attention(in[0], in[1], in[2], in[3], 1, 0.1, kRandom);
  backward({o}, {full(o.shape(), 1, DType::f32)});
  CHECK(first_non_finite(o.value()) == -1);
  for (const Var& x : in) CHECK(first_non_finite(x.grad()) == -1);
}

TEST_CASE("span_attention names what does not fit") {
  const auto t = [](Shape s) { return Var(zeros(s, DType::f32)); };
  const auto error = [&](Shape q, Shape k, Shape v, Shape pe, int64_t heads, double dropout = 0) {
    return error_of([&] { span_attention(t(q), t(k), t(v), t(pe), heads, dropout, kRandom); });
  };
  CHECK(error({2, 3, 8}, {2, 8, 8}, {2, 8, 8}, {4, 5}, 3) ==
        "span_attention: 3 heads do not divide q [2,3,8]");
  CHECK(error({2, 3, 8}, {2, 8, 8}, {2, 8, 8}, {8, 5}, 2) ==
        "span_attention: key_pe [8,5] does not fit q [2,3,8] of 2 heads");
  CHECK(error({2, 3, 8}, {2, 7, 8}, {2, 8, 8}, {4, 5}, 2) ==
        "span_attention: k [2,7,8] does not fit q [2,3,8] and span 5");
  CHECK(error({2, 3, 8}, {2, 8, 8}, {2, 7, 8}, {4, 5}, 2) ==
        "span_attention: v [2,7,8] does not fit k [2,8,8]");
  CHECK(error({2, 3, 8}, {2, 8, 8}, {2, 8, 8}, {4, 5}, 2, 1) == "span_attention: dropout 1 is not in [0, 1)");
}

}  // namespace rmoe::test
