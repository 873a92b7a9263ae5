// One request to /v1/completions at work: takes tokens from the model's thread, gives OpenAI's JSON to the
// thread that answers.
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "train/serve/completion_request.hpp"
#include "train/serve/job.hpp"
#include "train/serve/text_stream.hpp"
#include "train/serve/token_list.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace rmoe::serve {

class Completion final : public Job {
 public:
  /// `model` is the name that answers carry; draws without a seed of their own take `seed`.
  Completion(CompletionRequest request, TokenizerPtr tokenizer, std::string model, uint64_t seed);

  void prompt_scored(size_t task, std::vector<TokenInfo> tokens) override;
  bool token(size_t task, int64_t choice, TokenInfo info) override;
  void finished(size_t task, int64_t choice, Finish reason) override;
  void failed(int status, const std::string& why) override;

  const CompletionRequest& request() const { return request_; }
  /// Waits until all choices are finished; false if `patience` ends before. A failure is a RequestError.
  bool wait(std::chrono::milliseconds patience);
  /// Waits for anything new.
  bool wait_for_news(std::chrono::milliseconds patience);
  bool done() const;
  /// The whole answer, once done.
  std::string answer();
  /// What is new since the last call, as the data of events; the last ones once done.
  std::vector<std::string> chunks();

 private:
  struct Choice {
    TextStream text;
    TokenList list;
    bool begun = false;                  // the list has met the prompt
    std::vector<TokenInfo> tokens = {};  // not yet listed
    std::vector<TokenInfo> prompt = {};  // scores of the echoed prompt
    int64_t generated = 0;
    bool news = false;
    std::optional<Finish> finish = {};
  };

  Choice& choice(size_t task, int64_t i) { return choices_[task * size_t(request_.n) + size_t(i)]; }
  nlohmann::ordered_json envelope() const;
  nlohmann::ordered_json take(size_t index);
  nlohmann::ordered_json usage() const;

  const CompletionRequest request_;
  const TokenizerPtr tokenizer_;
  const std::optional<int32_t> end_;
  const std::string model_, id_;
  const int64_t created_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Choice> choices_;
  size_t unfinished_;
  int failure_ = 0;  // HTTP status
  std::string why_;
};

}  // namespace rmoe::serve
