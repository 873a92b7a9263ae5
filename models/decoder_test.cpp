#include "models/decoder.hpp"

#include "tests/tiny_models.hpp"

#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

using Tokens = std::vector<int32_t>;

Tokens some_tokens(int64_t n, int64_t vocab, int64_t seed) {
  Tokens tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(int32_t((i * i + seed * (i + 3) + i / 3) % vocab));
  return tokens;
}

/// Logits [n,V] of a whole forward pass over a stream that begins with `tokens`.
Tensor whole(const Model& model, const Tokens& tokens) {
  const NoGrad guard;
  const int64_t n = int64_t(tokens.size());
  const Tensor logits = model(from_vector(tokens, {1, n}), model.initial_memory(1), {}).logits().value();
  return logits.reshape({n, logits.dim(2)});
}

/// The same, read in pieces of these sizes.
Tensor in_pieces(const Model& model, const Tokens& tokens, const std::vector<int64_t>& sizes) {
  const Decoder decoder(model);
  Decoder::Sequence sequence = decoder.start();
  const int64_t V = model.config().vocab;
  const Tensor logits = empty({int64_t(tokens.size()), V}, model.parameters()[0].var.value().dtype());
  int64_t at = 0;
  for (const int64_t n : sizes) {
    copy(logits.rows(at, n), decoder.read(sequence, std::span(tokens).subspan(at, n), true));
    at += n;
  }
  REQUIRE(at == int64_t(tokens.size()));
  CHECK(decoder.length(sequence) == at);
  return logits;
}

int32_t likeliest(const Tensor& logits) {
  const auto z = logits.span<float>();
  return int32_t(std::max_element(z.begin(), z.end()) - z.begin());
}

/// A case whose experts would drop tokens in training.
Model limited(const TinyCase& c, DType dtype) {
  RouterConfig router = c.router;
  router.capacity_factor = 0.5;
  return Model(c.model, router, 3, dtype);
}

}  // namespace

TEST_CASE("decoder: reading piece by piece gives the logits of the whole pass, for every router") {
  const std::vector<int64_t> sizes{3, 1, 1, 9, 1, 4, 70, 1, 1, 1};  // more than the span, and the first room
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    const Model model = limited(c, DType::f64);
    spread_parameters(model);
    const Tokens tokens = some_tokens(92, c.model.vocab, 1);
    CHECK(largest_difference(in_pieces(model, tokens, sizes), whole(model, tokens)) < 1e-12);
  }
}

TEST_CASE("decoder: the greedy text is that of whole passes, for every router") {
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    const Model model = limited(c, DType::f32);
    spread_parameters(model);
    const Decoder decoder(model);
    Decoder::Sequence sequence = decoder.start();
    Tokens text = some_tokens(4, c.model.vocab, 2);
    Tensor logits = decoder.read(sequence, text);
    for (int i = 0; i < 16; ++i) {
      const int32_t next = likeliest(logits), n = int32_t(text.size());
      CHECK(next == likeliest(whole(model, text).rows(n - 1, 1)));
      text.push_back(next);
      logits = decoder.read(sequence, {&next, 1});
    }
  }
}

TEST_CASE("decoder: a sequence gets the same bits whoever else is in the step, for every router") {
  constexpr int64_t kSequences = 19;
  for (const TinyCase& c : tiny_cases()) {
    CAPTURE(c.name);
    const Model model = limited(c, DType::f32);
    spread_parameters(model);
    const Decoder decoder(model);
    std::vector<Decoder::Sequence> together;
    for (int64_t i = 0; i < kSequences; ++i) {
      together.push_back(decoder.start());
      decoder.read(together[i], some_tokens(1 + i * 3 % 11, c.model.vocab, i));
    }
    std::vector<Decoder::Sequence> alone = together;
    std::vector<Decoder::Sequence*> all;
    for (Decoder::Sequence& sequence : together) all.push_back(&sequence);
    for (int64_t step = 0; step < 3; ++step) {
      const Tokens tokens = some_tokens(kSequences, c.model.vocab, step + 5);
      const Tensor logits = decoder.step(all, tokens);
      REQUIRE(logits.shape() == Shape{kSequences, c.model.vocab});
      for (int64_t i = 0; i < kSequences; ++i) {
        Decoder::Sequence* const one[] = {&alone[i]};
        CHECK(same_bits({logits.rows(i, 1)}, {decoder.step(one, {&tokens[i], 1})}));
      }
    }
  }
}

TEST_CASE("decoder: a copied sequence goes its own way") {
  for (const char* name : {"lm-rmoe", "llama-rmoe"}) {
    const TinyCase c = tiny_case(name);
    const Model model(c.model, c.router, 3);
    const Decoder decoder(model);
    const Tokens prefix = some_tokens(6, c.model.vocab, 1), one{1, 2, 3}, other{4, 5};
    const auto after = [&](Decoder::Sequence sequence, const Tokens& tokens) {
      return decoder.read(sequence, tokens, true);
    };
    const auto afresh = [&](const Tokens& tokens) {
      Decoder::Sequence sequence = decoder.start();
      decoder.read(sequence, prefix);
      return after(std::move(sequence), tokens);
    };
    Decoder::Sequence shared = decoder.start();
    decoder.read(shared, prefix);
    CHECK(same_bits({after(shared, one)}, {afresh(one)}));
    CHECK(same_bits({after(shared, other)}, {afresh(other)}));
    Decoder::Sequence assigned = decoder.start();
    decoder.read(assigned, other);
    assigned = shared;
    CHECK(same_bits({after(assigned, one)}, {afresh(one)}));
    CHECK(decoder.length(shared) == 6);
  }
}

TEST_CASE("decoder: what is refused leaves sequences as they were") {
  const TinyCase c = tiny_case("llama-rmoe");
  const Model model(c.model, c.router, 3);
  const Decoder decoder(model);
  Decoder::Sequence a = decoder.start(), b = decoder.start();
  decoder.read(a, Tokens{1, 2});
  CHECK(error_of([&] { decoder.read(a, {}); }) == "decoder: no tokens to read, wanted at least one");
  CHECK(error_of([&] {
          decoder.read(a, Tokens{1, 11});
        }) == "embedding: token 11 at position 1 is not in [0, 11)");
  Decoder::Sequence* const twice[] = {&a, &b, &a};
  CHECK(error_of([&] {
          decoder.step(twice, Tokens{1, 2, 3});
        }) == "decoder: a sequence is in the step twice");
  CHECK(error_of([&] { decoder.step(std::span(twice).first(2), Tokens{1}); }) ==
        "decoder: 1 tokens for 2 sequences, wanted one for each of at least one");
  Decoder::Sequence fresh = decoder.start();
  decoder.read(fresh, Tokens{1, 2});
  CHECK(same_bits({decoder.read(a, Tokens{3})}, {decoder.read(fresh, Tokens{3})}));
}

}  // namespace rmoe::test
