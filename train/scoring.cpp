#include "train/scoring.hpp"

#include "engine/math.hpp"
#include "engine/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>

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

using Requests = std::vector<const ScoreRequest*>;
using Scores = std::vector<TokenScore>;

/// Right-padded: no token sees those behind it, and what a padded position computes is never looked at.
Tensor padded_inputs(const Requests& requests, int64_t T) {
  const Tensor inputs = zeros({int64_t(requests.size()), T}, DType::i32);
  for (size_t b = 0; b < requests.size(); ++b)
    std::copy(requests[b]->tokens.begin(), requests[b]->tokens.end() - 1,
              inputs.data<int32_t>() + int64_t(b) * T);
  return inputs;
}

/// The positions of a batch whose next token is asked for, one request after another.
struct Wanted {
  Tensor hidden;                 // [M,C]
  std::vector<int32_t> targets;  // [M]
};

Wanted gather(const Requests& requests, const Tensor& hidden) {  // [B,T,C]
  const int64_t B = hidden.dim(0), T = hidden.dim(1), C = hidden.dim(2);
  Wanted wanted;
  for (const ScoreRequest* r : requests)
    wanted.targets.insert(wanted.targets.end(), r->tokens.begin() + r->first, r->tokens.end());
  wanted.hidden = empty_like(hidden, {int64_t(wanted.targets.size()), C});
  const Tensor all = hidden.reshape({B * T, C});
  int64_t row = 0;
  for (int64_t b = 0; b < B; ++b) {
    const ScoreRequest& r = *requests[size_t(b)];
    const int64_t rows = int64_t(r.tokens.size()) - r.first;
    copy(wanted.hidden.rows(row, rows), all.rows(b * T + r.first - 1, rows));
    row += rows;
  }
  return wanted;
}

/// The scores of all positions asked for, in one forward pass. The requests come longest first.
Scores score_batch(const Model& model, const Requests& requests) {
  constexpr int64_t kLogits = int64_t{1} << 23;  // that exist at once: 32 MiB
  const NoGrad guard;
  const Tensor inputs = padded_inputs(requests, int64_t(requests[0]->tokens.size()) - 1);
  const ModelOutput output = model(inputs, model.initial_memory(inputs.dim(0)), {});
  const auto [hidden, targets] = gather(requests, output.hidden.value());
  const int64_t M = hidden.dim(0), most = std::max<int64_t>(1, kLogits / model.config().vocab);
  Scores scores;
  for (int64_t row = 0; row < M; row += most) {
    const int64_t rows = std::min(most, M - row);
    const Tensor logits = output.head(Var(hidden.rows(row, rows))).value();  // [rows,V]
    const Scores part = score_rows(logits, std::span(targets).subspan(size_t(row), size_t(rows)));
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

/// Batches of requests of similar length, the longest first: little padding, and threads end together.
/// Requests that ask for nothing are in none.
std::vector<std::vector<size_t>> cut(const Model& model, std::span<const ScoreRequest> requests) {
  constexpr int64_t kTokens = 1024;
  const Memory memory = model.initial_memory(1);
  const int64_t span =
      memory.empty() ? 0 : memory[0].dim(1);  // a memory is as much work as its length of text
  std::vector<size_t> order;
  for (size_t i = 0; i < requests.size(); ++i)
    if (requests[i].first < int64_t(requests[i].tokens.size())) order.push_back(i);
  std::ranges::stable_sort(order, std::greater(), [&](size_t i) { return requests[i].tokens.size(); });
  std::vector<std::vector<size_t>> batches;
  int64_t longest = 0;
  for (const size_t i : order) {
    if (batches.empty() || (int64_t(batches.back().size()) + 1) * (longest + span) > kTokens) {
      longest = int64_t(requests[i].tokens.size());
      batches.emplace_back();
    }
    batches.back().push_back(i);
  }
  return batches;
}

/// Runs tasks on all threads, each on one of them if there are enough of them. None may throw out of a
/// parallel region: the first error is thrown at the end. A task that returns false stops those that have not
/// begun.
void run_all(int64_t tasks, const std::function<bool(int64_t task)>& run) {
  std::atomic<bool> stopped = false;
  std::exception_ptr error;
  std::mutex mutex;
  const auto guarded = [&](int64_t i) {
    if (stopped) return;
    try {
      if (!run(i)) stopped = true;
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      stopped = true;
    }
  };
  if (tasks >= thread_count())
    parallel_for(tasks, guarded);
  else
    for (int64_t i = 0; i < tasks; ++i) guarded(i);
  if (error) std::rethrow_exception(error);
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
  const auto batches = cut(model, requests);
  std::vector<std::vector<TokenScore>> scores(requests.size());
  std::mutex mutex;  // of the count
  auto done =
      std::ranges::count_if(requests, [](const auto& r) { return r.first >= int64_t(r.tokens.size()); });
  run_all(int64_t(batches.size()), [&](int64_t i) {
    const std::vector<size_t>& batch = batches[size_t(i)];
    Requests members;
    for (const size_t member : batch) members.push_back(&requests[member]);
    const Scores all = score_batch(model, members);
    auto next = all.begin();
    for (const size_t member : batch) {
      const int64_t count = int64_t(requests[member].tokens.size()) - requests[member].first;
      scores[member].assign(next, next + count);
      next += count;
    }
    const std::lock_guard lock(mutex);
    done += int64_t(batch.size());
    return !tick || tick(done, int64_t(requests.size()));
  });
  return scores;
}

std::vector<std::vector<TokenScore>> score(const Model& model,
                                           std::span<const std::vector<int32_t>> sequences) {
  std::vector<ScoreRequest> requests;
  for (const std::vector<int32_t>& tokens : sequences) requests.push_back({tokens});
  return score(model, requests);
}

}  // namespace rmoe
