#include "train/serve/completion.hpp"

#include "engine/random.hpp"
#include "train/serve/request_error.hpp"

#include <algorithm>
#include <ctime>
#include <fmt/core.h>

namespace rmoe::serve {
namespace {

using Json = nlohmann::ordered_json;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json finish_reason(const std::optional<Finish>& finish) {
  if (!finish) return nullptr;
  return *finish == Finish::stop ? "stop" : "length";
}

}  // namespace

Completion::Completion(CompletionRequest request, TokenizerPtr tokenizer, std::string model, uint64_t seed)
    : request_(std::move(request)),
      tokenizer_(std::move(tokenizer)),
      end_(end_of_text(*tokenizer_)),
      model_(std::move(model)),
      id_(fmt::format("cmpl-{:016x}", mix(hash("completion"), seed))),
      created_(std::time(nullptr)),
      unfinished_(request_.prompts.size() * size_t(request_.n)) {
  for (const std::vector<int32_t>& prompt : request_.prompts) {
    tasks.push_back({.prompt = prompt,
                     .max_tokens = request_.max_tokens,
                     .choices = request_.n,
                     .choice = request_.choice,
                     .seed = request_.seed.value_or(seed),
                     .score_prompt = request_.echo && request_.logprobs,
                     .top = request_.logprobs});
    const std::string echoed = request_.echo ? text_of(*tokenizer_, prompt) : "";
    for (int64_t i = 0; i < request_.n; ++i)
      choices_.push_back({TextStream(request_.stop, echoed), TokenList(*tokenizer_)});
  }
}

void Completion::prompt_scored(size_t task, std::vector<TokenInfo> tokens) {
  const std::lock_guard lock(mutex_);
  for (int64_t i = 0; i < request_.n; ++i) choice(task, i).prompt = tokens;
}

bool Completion::token(size_t task, int64_t i, TokenInfo info) {
  const std::lock_guard lock(mutex_);
  Choice& c = choice(task, i);
  const bool wanted = info.token == end_ || c.text.add(tokenizer_->piece(info.token));
  if (request_.logprobs) c.tokens.push_back(std::move(info));
  ++c.generated;
  c.news = true;
  changed_.notify_all();
  return wanted;
}

void Completion::finished(size_t task, int64_t i, Finish reason) {
  const std::lock_guard lock(mutex_);
  Choice& c = choice(task, i);
  c.text.end();
  c.finish = reason;
  c.news = true;
  --unfinished_;
  changed_.notify_all();
}

void Completion::failed(int status, const std::string& why) {
  const std::lock_guard lock(mutex_);
  failure_ = status;
  why_ = why;
  changed_.notify_all();
}

bool Completion::wait(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return failure_ || unfinished_ == 0; });
  if (failure_) throw RequestError(failure_, why_);
  return unfinished_ == 0;
}

bool Completion::wait_for_news(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  const auto news = [&] { return std::ranges::any_of(choices_, &Choice::news); };
  changed_.wait_for(lock, patience, [&] { return failure_ || news(); });
  if (failure_) throw RequestError(failure_, why_);
  return news();
}

bool Completion::done() const {
  const std::lock_guard lock(mutex_);
  return unfinished_ == 0;
}

Json Completion::envelope() const {
  return {{"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", model_}};
}

/// What is new of a choice. The lists are made here, not on the model's thread.
Json Completion::take(size_t index) {
  Choice& c = choices_[index];
  c.news = false;
  Json logprobs = nullptr;
  if (request_.logprobs) {
    const std::vector<int32_t>& prompt = request_.prompts[index / size_t(request_.n)];
    if (!std::exchange(c.begun, true)) {
      if (request_.echo) {
        c.list.add_first(prompt[0]);
        for (const TokenInfo& info : std::exchange(c.prompt, {})) c.list.add(info);
      } else {
        c.list.skip(prompt);
      }
    }
    for (const TokenInfo& info : std::exchange(c.tokens, {})) c.list.add(info);
    logprobs = c.list.take();
  }
  return {{"index", index},
          {"text", c.text.take()},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", finish_reason(c.finish)}};
}

Json Completion::usage() const {
  int64_t read = 0, generated = 0;
  for (const std::vector<int32_t>& prompt : request_.prompts) read += int64_t(prompt.size());
  for (const Choice& c : choices_) generated += c.generated;
  return {{"prompt_tokens", read}, {"completion_tokens", generated}, {"total_tokens", read + generated}};
}

std::string Completion::answer() {
  const std::lock_guard lock(mutex_);
  Json json = envelope();
  json["choices"] = Json::array();
  for (size_t i = 0; i < choices_.size(); ++i) json["choices"].push_back(take(i));
  json["usage"] = usage();
  return dump(json);
}

std::vector<std::string> Completion::chunks() {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> events;
  for (size_t i = 0; i < choices_.size(); ++i) {
    if (!choices_[i].news) continue;
    Json json = envelope();
    json["choices"] = Json::array({take(i)});
    events.push_back(dump(json));
  }
  if (request_.include_usage && unfinished_ == 0) {
    Json json = envelope();
    json["choices"] = Json::array();
    json["usage"] = usage();
    events.push_back(dump(json));
  }
  return events;
}

}  // namespace rmoe::serve
