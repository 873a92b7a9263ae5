#include "train/serve/engine.hpp"

#include "autograd/tape.hpp"
#include "engine/random.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe::serve {
namespace {

// Tokens of prompts that are read, or scored, between two tokens of those who generate.
constexpr int64_t kReadTokens = 256;
constexpr int64_t kScoreTokens = 2048;
constexpr int64_t kLogitRows = 64;  // of a prompt that is scored while it is read, at once

void fail_job(const JobPtr& job, int status, const std::string& why) {
  if (!job->cancelled.exchange(true)) job->failed(status, why);
}

/// One sequence for score(): with a token behind the prompt whose place says what the model would put there.
std::vector<int32_t> sequence_of(const Task& task) {
  std::vector<int32_t> tokens = task.prompt;
  if (task.max_tokens == 1) tokens.push_back(0);
  return tokens;
}

TokenInfo info_of(int32_t token, const TokenScore& score, int64_t top) {
  TokenInfo info{.token = token, .log_prob = token == score.best ? score.best_log_prob : score.log_prob};
  if (top > 0) info.top.emplace_back(score.best, score.best_log_prob);
  if (top == 0 || token != score.best) info.top.emplace_back(token, info.log_prob);
  return info;
}

}  // namespace

Engine::Engine(const Model& model, std::optional<int32_t> eos, const EngineLimits& limits)
    : model_(model), decoder_(model), eos_(eos), limits_(limits), thread_([this] { run(); }) {}

Engine::~Engine() { stop(); }

bool Engine::submit(JobPtr job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_ || stats_.jobs >= limits_.requests) return false;
    ++stats_.jobs;
    inbox_.push_back(std::move(job));
  }
  work_.notify_one();
  return true;
}

void Engine::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Engine::Stats Engine::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void Engine::run() {
  const NoGrad guard;
  while (wait_for_work()) {
    drop_cancelled();
    admit();
    score();
    read();
    step();
    const std::lock_guard lock(mutex_);
    stats_.generating = int64_t(generating_.size());
    stats_.cache_tokens = reserved_;
  }
  const auto end = [](const Part& part) { fail_job(part.job, 503, "the server is shutting down"); };
  for (const auto* parts : {&waiting_, &scoring_}) std::for_each(parts->begin(), parts->end(), end);
  for (const Reading& reading : reading_) end(reading.part);
  for (const Generating& generating : generating_) end(generating.part);
}

/// Sleeps until there is something to do; false: it is time to end.
bool Engine::wait_for_work() {
  std::unique_lock lock(mutex_);
  const bool busy = !(waiting_.empty() && scoring_.empty() && reading_.empty() && generating_.empty());
  work_.wait(lock, [&] { return busy || stopping_ || !inbox_.empty(); });
  const std::vector<JobPtr> arrived = std::exchange(inbox_, {});
  const bool go_on = !stopping_;
  lock.unlock();
  for (const JobPtr& job : arrived) take_in(job);
  return go_on;
}

void Engine::take_in(const JobPtr& job) {
  for (size_t i = 0; i < job->tasks.size(); ++i) {
    const Task& task = job->tasks[i];
    job->open_ += task.choices;
    (task.only_scores() ? scoring_ : waiting_).push_back({job, i});
  }
}

/// In order of arrival, so that a large task is not overtaken for ever.
void Engine::admit() {
  while (!waiting_.empty()) {
    const Part& part = waiting_.front();
    const Task& task = part.task();
    if (task.max_tokens == 0 && !task.score_prompt) {
      for (int64_t choice = 0; choice < task.choices; ++choice)
        part.job->finished(part.index, choice, Finish::length);
      close(part, task.choices);
    } else {
      if (sequences_ + task.choices > limits_.concurrent ||
          reserved_ + task.cached_tokens() > limits_.cache_tokens)
        return;
      sequences_ += task.choices;
      reserved_ += task.cached_tokens();
      reading_.push_back({part, decoder_.start()});
    }
    waiting_.pop_front();
  }
}

void Engine::drop_cancelled() {
  const auto drop = [this](const Part& part, int64_t choices, bool reserved) {
    if (!part.job->cancelled) return false;
    if (reserved) release(part, choices);
    close(part, choices);
    return true;
  };
  for (auto* parts : {&waiting_, &scoring_})
    std::erase_if(*parts, [&](const Part& part) { return drop(part, part.task().choices, false); });
  std::erase_if(reading_, [&](const Reading& r) { return drop(r.part, r.part.task().choices, true); });
  std::erase_if(generating_, [&](const Generating& g) { return drop(g.part, 1, true); });
}

/// What score() found in a task's sequence.
void Engine::tell_scores(const Part& part, std::span<const int32_t> tokens,
                         std::span<const TokenScore> scores) {
  const Task& task = part.task();
  const int64_t top = task.top.value_or(0);
  std::vector<TokenInfo> infos;
  for (size_t i = 1; i < task.prompt.size(); ++i) infos.push_back(info_of(tokens[i], scores[i - 1], top));
  part.job->prompt_scored(part.index, std::move(infos));
  count(int64_t(task.prompt.size()), task.max_tokens);
  Finish reason = Finish::length;
  if (task.max_tokens == 1) {
    const int32_t next = scores.back().best;
    const bool wanted = part.job->token(part.index, 0, info_of(next, scores.back(), top));
    if (!wanted || next == eos_) reason = Finish::stop;
  }
  part.job->finished(part.index, 0, reason);
}

/// A batch of the sequences that are only scored.
void Engine::score() {
  std::vector<Part> parts;
  std::vector<std::vector<int32_t>> sequences;
  for (int64_t tokens = 0; !scoring_.empty() && tokens < kScoreTokens; scoring_.pop_front()) {
    parts.push_back(scoring_.front());
    sequences.push_back(sequence_of(parts.back().task()));
    tokens += int64_t(sequences.back().size());
  }
  if (parts.empty()) return;
  try {
    const auto scores = rmoe::score(model_, sequences);
    for (size_t i = 0; i < parts.size(); ++i) tell_scores(parts[i], sequences[i], scores[i]);
  } catch (const std::exception& e) {
    for (const Part& part : parts) fail_job(part.job, 500, e.what());
  }
  for (const Part& part : parts) close(part, 1);
}

/// Reads the prompts that wait, each a slice in turn.
void Engine::read() {
  for (int64_t left = kReadTokens; left > 0 && !reading_.empty();) {
    std::vector<Generating> ready;
    Tensor logits;
    try {
      const size_t before = reading_.front().read;
      logits = read_slice(reading_.front());
      left -= int64_t(reading_.front().read - before);
      if (logits) ready = choices_of(reading_.front());
    } catch (const std::exception& e) {
      fail_job(reading_.front().part.job, 500, e.what());
      return;  // dropped in the next pass
    }
    Reading reading = std::move(reading_.front());
    reading_.pop_front();
    if (logits) {
      begin(reading, std::move(ready), logits);
    } else {
      reading_.push_back(std::move(reading));
    }
  }
}

/// The logits [1,V] behind the prompt, once its last slice is read.
Tensor Engine::read_slice(Reading& reading) {
  const Task& task = reading.part.task();
  const auto left = std::span(task.prompt).subspan(reading.read);
  const auto slice = left.first(std::min<size_t>(left.size(), task.score_prompt ? kLogitRows : kReadTokens));
  const Tensor logits = decoder_.read(reading.sequence, slice, task.score_prompt);  // [1,V] or [n,V]
  const auto n = int64_t(slice.size()), rows = logits.dim(0), V = logits.dim(1);
  if (task.score_prompt)
    for (int64_t i = 0; i < n && size_t(i) + 1 < left.size(); ++i)
      reading.scores.push_back(
          describe(logits.span<float>().subspan(i * V, V), left[i + 1], task.top.value_or(0)));
  reading.read += slice.size();
  count(n, 0);
  return slice.size() == left.size() ? logits.rows(rows - 1, 1) : Tensor();
}

std::vector<Engine::Generating> Engine::choices_of(const Reading& reading) {
  std::vector<Generating> choices;
  for (int64_t i = 0; i < reading.part.task().choices; ++i)
    choices.push_back({reading.part, i, reading.sequence});
  return choices;
}

void Engine::begin(Reading& reading, std::vector<Generating> choices, const Tensor& logits) {
  const Task& task = reading.part.task();
  if (task.score_prompt) reading.part.job->prompt_scored(reading.part.index, std::move(reading.scores));
  for (Generating& choice : choices) {
    if (task.max_tokens == 0) {
      finish(choice, Finish::length);
    } else if (advance(choice, logits.span<float>())) {
      generating_.push_back(std::move(choice));
    }
  }
}

/// One token more for everyone who generates, in one forward pass.
void Engine::step() {
  if (generating_.empty()) return;
  std::vector<Decoder::Sequence*> sequences;
  std::vector<int32_t> tokens;
  for (Generating& generating : generating_) {
    sequences.push_back(&generating.sequence);
    tokens.push_back(generating.last);
  }
  Tensor logits;  // [S,V]
  try {
    logits = decoder_.step(sequences, tokens);
  } catch (const std::exception& e) {
    for (const Generating& generating : generating_) fail_job(generating.part.job, 500, e.what());
    return;  // dropped in the next pass
  }
  const int64_t V = logits.dim(1);
  std::vector<Generating> rest;
  for (size_t i = 0; i < tokens.size(); ++i)
    if (advance(generating_[i], logits.span<float>().subspan(int64_t(i) * V, V)))
      rest.push_back(std::move(generating_[i]));
  generating_ = std::move(rest);
}

/// Takes the next token out of the logits [V] before it; false if it was the last.
bool Engine::advance(Generating& generating, std::span<const float> logits) {
  const Part& part = generating.part;
  const Task& task = part.task();
  if (!std::ranges::all_of(logits, [](float z) { return std::isfinite(z); })) {
    fail_job(part.job, 500, "the model's logits are not finite: it has diverged in training");
    return true;  // dropped with the rest of its job
  }
  const double u = uniform_at(task.seed, mix(hash("serve"), generating.choice), generating.count);
  const int32_t token = choose_token(logits, task.choice, u);
  TokenInfo info = task.top ? describe(logits, token, *task.top) : TokenInfo{.token = token};
  generating.last = token;
  ++generating.count;
  count(0, 1);
  const bool wanted = part.job->token(part.index, generating.choice, std::move(info));
  if (wanted && token != eos_ && generating.count < task.max_tokens) return true;
  finish(generating, wanted && token != eos_ ? Finish::length : Finish::stop);
  return false;
}

void Engine::finish(const Generating& generating, Finish reason) {
  generating.part.job->finished(generating.part.index, generating.choice, reason);
  release(generating.part, 1);
  close(generating.part, 1);
}

void Engine::close(const Part& part, int64_t choices) {
  if ((part.job->open_ -= choices) > 0) return;
  const std::lock_guard lock(mutex_);
  --stats_.jobs;
}

void Engine::release(const Part& part, int64_t choices) {
  sequences_ -= choices;
  reserved_ -= choices * part.task().cached_tokens() / part.task().choices;
}

void Engine::count(int64_t read, int64_t generated) {
  const std::lock_guard lock(mutex_);
  stats_.prompt_tokens += read;
  stats_.generated_tokens += generated;
}

}  // namespace rmoe::serve
