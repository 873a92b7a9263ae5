#include "train/scoring.hpp"

#include "engine/parallel.hpp"
#include "tests/tiny_models.hpp"

#include <cmath>
#include <cstring>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

using Scores = std::vector<TokenScore>;

/// Sequences of 0 to 40 tokens, long and short mixed.
std::vector<std::vector<int32_t>> some_sequences(int64_t V) {
  std::vector<std::vector<int32_t>> sequences;
  for (const int n : {3, 40, 1, 17, 0, 9, 24, 2, 33}) {
    sequences.emplace_back();
    for (int i = 0; i < n; ++i) sequences.back().push_back(int32_t((i * i + 5 * n + i / 7) % V));
  }
  return sequences;
}

bool same_bits(const Scores& a, const Scores& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(TokenScore)) == 0;
}

Scores score_alone(const Model& model, const std::vector<int32_t>& sequence) {
  return score(model, std::span(&sequence, 1))[0];
}

/// Log-softmax in double of all logits of the whole sequence at once.
Scores reference(const Model& model, const std::vector<int32_t>& tokens) {
  const NoGrad guard;
  const auto n = int64_t(tokens.size());
  const Tensor logits = model(from_vector(tokens, {1, n}), model.initial_memory(1), {}).logits().value();
  const int64_t V = logits.dim(2);
  Scores scores;
  for (int64_t t = 0; t + 1 < n; ++t) {
    const float* x = logits.data<float>() + t * V;
    double sum = 0;
    for (int64_t v = 0; v < V; ++v) sum += std::exp(double(x[v]));
    const auto best = int32_t(std::max_element(x, x + V) - x);
    scores.push_back(
        {float(double(x[tokens[t + 1]]) - std::log(sum)), best, float(double(x[best]) - std::log(sum))});
  }
  return scores;
}

}  // namespace

TEST_CASE("scoring: log-probabilities are those of the whole softmax, for every kind of model") {
  for (const std::string name : {"lm-smoe", "lm-rmoe", "llama-rmoe", "llama-dense"}) {
    CAPTURE(name);
    const TinyCase c = tiny_case(name);
    Model model(c.model, c.router, 3);
    spread_parameters(model);
    const auto sequences = some_sequences(c.model.vocab);
    const auto scores = score(model, sequences);
    REQUIRE(scores.size() == sequences.size());
    for (size_t i = 0; i < sequences.size(); ++i) {
      const Scores wanted = reference(model, sequences[i]);
      REQUIRE(scores[i].size() == wanted.size());
      for (size_t t = 0; t < wanted.size(); ++t) {
        CHECK(scores[i][t].log_prob == doctest::Approx(wanted[t].log_prob).epsilon(1e-5));
        CHECK(scores[i][t].best == wanted[t].best);
        CHECK(scores[i][t].best_log_prob == doctest::Approx(wanted[t].best_log_prob).epsilon(1e-5));
        CHECK(scores[i][t].best_log_prob >= scores[i][t].log_prob);
        if (scores[i][t].best == sequences[i][t + 1])
          CHECK(scores[i][t].best_log_prob == scores[i][t].log_prob);
      }
    }
  }
}

TEST_CASE("scoring: a sequence's bits do not depend on the others, their order or the threads") {
  for (const std::string name : {"lm-rmoe", "llama-rmoe"}) {
    const TinyCase c = tiny_case(name);
    Model model(c.model, c.router, 3);
    spread_parameters(model);
    const auto sequences = some_sequences(c.model.vocab);
    const int threads_before = thread_count();
    set_thread_count(1);
    std::vector<Scores> alone;
    for (const auto& sequence : sequences) alone.push_back(score_alone(model, sequence));
    for (const int threads : {1, 2, 3}) {
      set_thread_count(threads);
      auto mixed = sequences;
      std::ranges::reverse(mixed);
      mixed.push_back(sequences[1]);
      const auto scores = score(model, mixed);
      CHECK(same_bits(scores.back(), alone[1]));
      for (size_t i = 0; i < sequences.size(); ++i)
        CHECK(same_bits(scores[sequences.size() - 1 - i], alone[i]));
      CHECK(same_bits(score_alone(model, sequences[1]), alone[1]));
    }
    set_thread_count(threads_before);
  }
}

TEST_CASE("scoring: asked for the last tokens only, it gives their scores with the same bits") {
  const TinyCase c = tiny_case("llama-smoe");
  Model model(c.model, c.router, 3);
  const auto sequence = some_sequences(c.model.vocab)[1];
  const Scores all = score_alone(model, sequence);
  for (const int64_t first : {1, 2, 30, 39, 40, 50}) {
    const auto part = score(model, std::vector<ScoreRequest>{{sequence, first}})[0];
    CHECK(same_bits(part, {all.begin() + std::min<int64_t>(first - 1, 39), all.end()}));
  }
}

TEST_CASE("scoring: choices behind one context share its reading, with the bits each has alone") {
  for (const std::string name : {"lm-rmoe", "llama-rmoe", "llama-dense"}) {
    CAPTURE(name);
    const TinyCase c = tiny_case(name);
    Model model(c.model, c.router, 3);
    spread_parameters(model);
    const auto context = some_sequences(c.model.vocab)[6];  // 24 tokens
    std::vector<ScoreRequest> requests;
    for (const int n : {3, 1, 30, 2}) {
      requests.push_back({context, 24});
      for (int i = 0; i < n; ++i) requests.back().tokens.push_back((i + n) % 11);
    }
    requests.push_back({context, 12});  // other contexts around it
    requests.insert(requests.begin(), {{1, 2, 3}, 1});
    const auto scores = score(model, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      const Scores alone = score_alone(model, requests[i].tokens);
      CHECK(same_bits(scores[i], {alone.begin() + requests[i].first - 1, alone.end()}));
    }
  }
}

TEST_CASE("scoring: rows of logits, ties to the lower id, huge and infinite values") {
  const auto row = [](std::vector<float> logits, int32_t target) {
    const auto V = int64_t(logits.size());
    return score_rows(from_vector(logits, {1, V}), std::vector{target})[0];
  };
  CHECK(row({1, 3, 3, 2}, 2).best == 1);
  CHECK(row({1, 3, 3, 2}, 2).log_prob == row({1, 3, 3, 2}, 1).best_log_prob);
  CHECK(row({0, 0, 0, 0}, 3).log_prob == doctest::Approx(-std::log(4)));
  CHECK(row({1000, 0, -1000}, 0).log_prob == 0);
  CHECK(row({1000, 0, -1000}, 2).log_prob == -2000);
  CHECK(row({5}, 0).log_prob == 0);
  std::vector<float> wide(10000, 0);  // several sums
  wide[9999] = 2;
  CHECK(row(wide, 9999).log_prob == doctest::Approx(2 - std::log(9999 + std::exp(2.0))));
  CHECK(row(wide, 0).best == 9999);
  const std::string error = "scoring: the model's logits are not finite";
  CHECK(error_of([&] { row({1, std::nanf(""), 2}, 0); }) == error);
  CHECK(error_of([&] { row({1, INFINITY, 2}, 0); }) == error);
}

TEST_CASE("scoring: counts sequences, stops when told, and passes errors on from its threads") {
  const TinyCase c = tiny_case("llama-smoe");
  Model model(c.model, c.router, 3);
  std::vector<ScoreRequest> requests;
  for (int32_t i = 0; i < 6; ++i) requests.push_back({std::vector<int32_t>(600, i), 590});  // a batch each
  requests.push_back({{1}});  // asks for nothing
  std::vector<int64_t> counts;
  score(model, requests, [&](int64_t done, int64_t all) {
    CHECK(all == 7);
    counts.push_back(done);
    return true;
  });
  CHECK(counts == std::vector<int64_t>{2, 3, 4, 5, 6, 7});
  const auto part = score(model, requests, [](int64_t done, int64_t) { return done < 3; });
  CHECK(std::ranges::count_if(part, [](const Scores& s) { return !s.empty(); }) < 6);

  CHECK(error_of([&] {
          score(model, std::vector<std::vector<int32_t>>{{1, 11}});
        }) == "scoring: token 11 is not in [0, 11); does the tokenizer belong to the model?");
  CHECK(error_of([&] {
          score(model, std::vector<ScoreRequest>{{{1, 2}, 0}});
        }) == "scoring: token 0 is asked for, but the first has none before it");
  for (const Parameter& p : model.parameters())
    if (p.name == "head.weight") fill(p.var.value(), NAN);
  CHECK(error_of([&] { score(model, requests); }) == "scoring: the model's logits are not finite");
}

}  // namespace rmoe::test
