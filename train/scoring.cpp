#include "train/scoring.hpp"

#include "engine/math.hpp"
#include "engine/parallel.hpp"

#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <numeric>

namespace rmoe {
namespace {

float maximum(const float* x, int64_t n) {
  float most = std::numeric_limits<float>::lowest();
#pragma omp simd reduction(max : most)
  for (int64_t i = 0; i < n; ++i) most = x[i] > most ? x[i] : most;
  return most;
}

float sum_of_exp(const float* x, int64_t n, float shift) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += math::exp(x[i] - shift);
  return sum;
}

TokenScore score_row(const float* x, int64_t V, int32_t target) {
  constexpr int64_t kColumns = 4096;  // added up in float; these sums in double
  const float most = maximum(x, V);
  double sum = 0;
  for (int64_t v = 0; v < V; v += kColumns) sum += sum_of_exp(x + v, std::min(kColumns, V - v), most);
  RMOE_CHECK(std::isfinite(sum), "scoring: the model's logits are not finite");
  const double lse = double(most) + std::log(sum);
  const auto best = int32_t(std::find(x, x + V, most) - x);
  return {float(double(x[target]) - lse), best, float(double(most) - lse)};
}

/// Rows of logits that exist at once. Blocks start at multiples of it, so that a row meets the same product
/// whichever rows are asked for.
constexpr int64_t kRows = 32;

std::vector<TokenScore> score_one(const Model& model, const ScoreRequest& request) {
  const NoGrad guard;
  const std::vector<int32_t>& tokens = request.tokens;
  const auto n = int64_t(tokens.size()), T = n - 1, begin = request.first - 1;
  std::vector<TokenScore> scores;
  if (begin >= T) return scores;
  Tensor inputs = empty({1, T}, DType::i32);
  std::copy_n(tokens.begin(), T, inputs.data<int32_t>());
  const ModelOutput output = model(inputs, model.initial_memory(1), {});
  const Tensor hidden = output.hidden.value().reshape({T, output.hidden.dim(2)});  // [T,C]
  for (int64_t row = begin / kRows * kRows; row < T; row += kRows) {
    const int64_t rows = std::min(kRows, T - row), unwanted = std::max<int64_t>(0, begin - row);
    const Tensor logits = output.head(Var(hidden.rows(row, rows))).value();  // [rows,V]
    const auto part = score_rows(logits.rows(unwanted, rows - unwanted),
                                 {tokens.data() + row + unwanted + 1, size_t(rows - unwanted)});
    scores.insert(scores.end(), part.begin(), part.end());
  }
  return scores;
}

void check(const ScoreRequest& request, int64_t V) {
  RMOE_CHECK(request.first >= 1, "scoring: token ", request.first,
             " is asked for, but the first has none before it");
  for (const int32_t token : request.tokens)
    RMOE_CHECK(token >= 0 && token < V, "scoring: token ", token, " is not in [0, ", V,
               "); does the tokenizer belong to the model?");
}

/// Longest first: the last tasks to be handed out are short, and threads end together.
std::vector<size_t> by_length(std::span<const ScoreRequest> requests) {
  std::vector<size_t> order(requests.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return requests[i].tokens.size(); });
  return order;
}

}  // namespace

std::vector<TokenScore> score_rows(const Tensor& logits, std::span<const int32_t> targets) {
  const int64_t V = logits.dim(1);
  std::vector<TokenScore> scores;
  for (size_t row = 0; row < targets.size(); ++row)
    scores.push_back(score_row(logits.data<float>() + int64_t(row) * V, V, targets[row]));
  return scores;
}

std::vector<std::vector<TokenScore>> score(const Model& model, std::span<const ScoreRequest> requests,
                                           const Tick& tick) {
  for (const ScoreRequest& request : requests) check(request, model.config().vocab);
  const std::vector<size_t> order = by_length(requests);
  std::vector<std::vector<TokenScore>> scores(requests.size());
  std::mutex mutex;  // guards what follows
  int64_t done = 0;
  bool stopped = false;
  std::exception_ptr error;  // none may leave a parallel region
  parallel_for(int64_t(requests.size()), [&](int64_t i) {
    {
      const std::lock_guard lock(mutex);
      if (stopped) return;
    }
    try {
      scores[order[i]] = score_one(model, requests[order[i]]);
      const std::lock_guard lock(mutex);
      if (tick && !tick(++done, int64_t(requests.size()))) stopped = true;
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      stopped = true;
    }
  });
  if (error) std::rethrow_exception(error);
  return scores;
}

std::vector<std::vector<TokenScore>> score(const Model& model,
                                           std::span<const std::vector<int32_t>> sequences) {
  std::vector<ScoreRequest> requests;
  for (const std::vector<int32_t>& tokens : sequences) requests.push_back({tokens});
  return score(model, requests);
}

}  // namespace rmoe
