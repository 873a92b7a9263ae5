// The seam between the server and the thread that owns the model: what is to be computed, and who is told.
#pragma once

#include "train/choose.hpp"
#include "train/serve/log_probs.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rmoe::serve {

/// One prompt and how to go on from it.
struct Task {
  std::vector<int32_t> prompt;  // at least one token
  int64_t max_tokens = 16;
  int64_t choices = 1;  // answers to the same prompt; each draws from a stream of its own
  ChoiceOptions choice = {};
  uint64_t seed = 0;
  bool score_prompt = false;        // tell what each token of the prompt had for a probability
  std::optional<int64_t> top = {};  // describe each token, with so many likelier ones

  /// True if whole-sequence scoring gives all that is asked: no keys and values need be kept.
  bool only_scores() const {
    return score_prompt && top.value_or(0) <= 1 && choices == 1 &&
           (max_tokens == 0 || (max_tokens == 1 && choice.temperature == 0));
  }
  int64_t cached_tokens() const { return choices * (int64_t(prompt.size()) + max_tokens); }
};

enum class Finish { stop, length };

/// A request at work. The members below are called by the model's thread, in order, and must not throw.
class Job {
 public:
  virtual ~Job() = default;

  /// Of prompt tokens 1, 2, ... of a task: the first has nothing before it.
  virtual void prompt_scored(size_t task, std::vector<TokenInfo> tokens) = 0;
  /// A new token, described if the task asks for it. False: this choice needs no more.
  virtual bool token(size_t task, int64_t choice, TokenInfo info) = 0;
  virtual void finished(size_t task, int64_t choice, Finish reason) = 0;
  /// Nothing more will come for any task.
  virtual void failed(int status, const std::string& why) = 0;

  std::vector<Task> tasks;              // not changed once submitted
  std::atomic<bool> cancelled = false;  // nobody waits any more

 private:
  friend class Engine;
  int64_t open_ = 0;  // choices that have not finished
};

using JobPtr = std::shared_ptr<Job>;

}  // namespace rmoe::serve
