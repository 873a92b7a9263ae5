#include "train/scoring.hpp"

#include "engine/math.hpp"
#include "engine/parallel.hpp"
#include "models/decoder.hpp"

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

using Scores = std::vector<TokenScore>;
using TokenSpan = std::span<const int32_t>;

/// Requests next to each other that share the tokens before the first one asked about.
struct Group {
  size_t begin, end;  // of the requests
  int64_t prefix;     // tokens read once for all
  int64_t work;       // tokens read in all
};

/// What a request reads behind `prefix` tokens; its last token is only predicted.
TokenSpan read_behind(const ScoreRequest& request, int64_t prefix) {
  return TokenSpan(request.tokens).subspan(size_t(prefix), request.tokens.size() - 1 - size_t(prefix));
}

/// Sequences that are read on in one forward pass.
class Pass {
 public:
  void add(Decoder::Sequence& sequence, TokenSpan tokens) {
    sequences_.push_back(&sequence);
    counts_.push_back(int64_t(tokens.size()));
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  }
  bool empty() const { return tokens_.empty(); }
  ModelOutput run(const Decoder& decoder) const { return decoder.forward(sequences_, counts_, tokens_); }

 private:
  std::vector<Decoder::Sequence*> sequences_;
  std::vector<int64_t> counts_;
  std::vector<int32_t> tokens_;
};

/// Reads the groups of a batch: prefixes in one pass, all that follows them in a second.
ModelOutput read_batch(const Decoder& decoder, std::span<const ScoreRequest> requests,
                       std::span<const Group> groups) {
  std::vector<Decoder::Sequence> prefixes(groups.size(), decoder.start()), sequences;
  Pass first, second;
  size_t members = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    members += groups[g].end - groups[g].begin;
    const TokenSpan tokens(requests[groups[g].begin].tokens);
    if (groups[g].prefix > 0) first.add(prefixes[g], tokens.first(size_t(groups[g].prefix)));
  }
  if (!first.empty()) first.run(decoder);
  sequences.reserve(members);  // a pass points at them
  for (size_t g = 0; g < groups.size(); ++g)
    for (size_t i = groups[g].begin; i < groups[g].end; ++i)
      second.add(sequences.emplace_back(prefixes[g]), read_behind(requests[i], groups[g].prefix));
  return second.run(decoder);
}

/// The positions whose next token is asked for, one request after another.
struct Wanted {
  Tensor hidden;                 // [M,C]
  std::vector<int32_t> targets;  // [M]
};

Wanted gather(std::span<const ScoreRequest> requests, std::span<const Group> groups, const Tensor& hidden) {
  const int64_t N = hidden.dim(1), C = hidden.dim(2);
  Wanted wanted;
  for (const Group& group : groups)
    for (size_t i = group.begin; i < group.end; ++i)
      wanted.targets.insert(wanted.targets.end(), requests[i].tokens.begin() + requests[i].first,
                            requests[i].tokens.end());
  wanted.hidden = empty_like(hidden, {int64_t(wanted.targets.size()), C});
  const Tensor all = hidden.reshape({N, C});
  int64_t from = 0, to = 0;
  for (const Group& group : groups)
    for (size_t i = group.begin; i < group.end; ++i) {
      const int64_t read = int64_t(requests[i].tokens.size()) - 1 - group.prefix;
      const int64_t rows = int64_t(requests[i].tokens.size()) - requests[i].first;
      from += read;
      copy(wanted.hidden.rows(to, rows), all.rows(from - rows, rows));
      to += rows;
    }
  return wanted;
}

/// The scores of all that the groups ask for.
Scores score_batch(const Model& model, std::span<const ScoreRequest> requests,
                   std::span<const Group> groups) {
  constexpr int64_t kLogits = int64_t{1} << 23;  // that exist at once: 32 MiB
  const NoGrad guard;
  const ModelOutput output = read_batch(Decoder(model), requests, groups);
  const auto [hidden, targets] = gather(requests, groups, output.hidden.value());
  const int64_t M = hidden.dim(0), most = std::max<int64_t>(1, kLogits / model.config().vocab);
  Scores scores;
  for (int64_t row = 0; row < M; row += most) {
    const int64_t rows = std::min(most, M - row);
    const Tensor logits = output.head(Var(hidden.rows(row, rows))).value();  // [rows,V]
    const Scores part = score_rows(logits, TokenSpan(targets).subspan(size_t(row), size_t(rows)));
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

bool asks(const ScoreRequest& request) { return request.first < int64_t(request.tokens.size()); }

/// Do both have the same tokens before the first one asked about?
bool same_prefix(const ScoreRequest& a, const ScoreRequest& b) {
  return a.first == b.first && std::equal(a.tokens.begin(), a.tokens.begin() + a.first, b.tokens.begin());
}

std::vector<Group> group(std::span<const ScoreRequest> requests) {
  std::vector<Group> groups;
  for (size_t i = 0, end; i < requests.size(); i = end) {
    end = i + 1;
    if (!asks(requests[i])) continue;
    while (end < requests.size() && asks(requests[end]) && same_prefix(requests[i], requests[end])) ++end;
    Group group{i, end, end - i > 1 ? requests[i].first - 1 : 0, 0};
    group.work = group.prefix;
    for (size_t k = i; k < end; ++k) group.work += int64_t(read_behind(requests[k], group.prefix).size());
    groups.push_back(group);
  }
  return groups;
}

/// Batches of groups in their order; the work of a batch is bounded unless one group alone is more.
std::vector<std::span<const Group>> cut(std::span<const Group> groups) {
  constexpr int64_t kTokens = 1024;
  std::vector<std::span<const Group>> batches;
  size_t begin = 0;
  int64_t work = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    if (g > begin && work + groups[g].work > kTokens) {
      batches.push_back(groups.subspan(begin, g - begin));
      begin = g;
      work = 0;
    }
    work += groups[g].work;
  }
  if (begin < groups.size()) batches.push_back(groups.subspan(begin));
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
  const std::vector<Group> groups = group(requests);
  const auto batches = cut(groups);
  std::vector<Scores> scores(requests.size());
  std::mutex mutex;  // of the count
  int64_t done = std::ranges::count_if(requests, [](const ScoreRequest& r) { return !asks(r); });
  run_all(int64_t(batches.size()), [&](int64_t task) {
    const std::span<const Group> batch = batches[size_t(task)];
    const Scores all = score_batch(model, requests, batch);
    auto next = all.begin();
    int64_t scored = 0;
    for (const Group& group : batch)
      for (size_t i = group.begin; i < group.end; ++i, ++scored) {
        const int64_t count = int64_t(requests[i].tokens.size()) - requests[i].first;
        scores[i].assign(next, next + count);
        next += count;
      }
    const std::lock_guard lock(mutex);
    done += scored;
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
