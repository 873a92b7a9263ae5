// The thread that owns the model. Everything that is asked for advances together: in each pass a slice of the
// prompts that wait is read, every sequence that generates moves on by one token in one forward pass, and a
// batch of sequences is scored. What a request gets does not depend on who else is served.
#pragma once

#include "models/decoder.hpp"
#include "train/scoring.hpp"
#include "train/serve/job.hpp"
#include "train/serve/limits.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace rmoe::serve {

class Engine {
 public:
  /// The model must outlive the engine. A choice ends after `eos`.
  Engine(const Model& model, std::optional<int32_t> eos, const EngineLimits& limits);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// False if the server has as much to do as it takes on. Every task must fit the limits by itself.
  bool submit(JobPtr job);
  /// Whatever is at work or waiting fails with 503; nothing is taken on any more.
  void stop();

  struct Stats {
    int64_t jobs = 0;              // at work or waiting
    int64_t generating = 0;        // sequences
    int64_t cache_tokens = 0;      // reserved
    int64_t prompt_tokens = 0;     // read so far
    int64_t generated_tokens = 0;  // so far
  };
  Stats stats() const;

 private:
  /// One task of a job.
  struct Part {
    JobPtr job;
    size_t index;
    const Task& task() const { return job->tasks[index]; }
  };
  struct Reading {
    Part part;
    Decoder::Sequence sequence;
    size_t read = 0;                     // tokens of the prompt
    std::vector<TokenInfo> scores = {};  // of those, if asked for
  };
  struct Generating {
    Part part;
    int64_t choice;
    Decoder::Sequence sequence;
    int64_t count = 0;
    int32_t last = 0;
  };

  void run();
  bool wait_for_work();
  void take_in(const JobPtr& job);
  void admit();
  void drop_cancelled();
  void score();
  void tell_scores(const Part& part, std::span<const int32_t> tokens, std::span<const TokenScore> scores);
  void read();
  Tensor read_slice(Reading& reading);
  static std::vector<Generating> choices_of(const Reading& reading);
  void begin(Reading& reading, std::vector<Generating> choices, const Tensor& logits);
  void step();
  bool advance(Generating& generating, std::span<const float> logits);
  void finish(const Generating& generating, Finish reason);
  void close(const Part& part, int64_t choices);
  void release(const Part& part, int64_t choices);
  void count(int64_t read, int64_t generated);

  const Model& model_;
  const Decoder decoder_;
  const std::optional<int32_t> eos_;
  const EngineLimits limits_;

  // The model's thread only.
  std::deque<Part> waiting_, scoring_;
  std::deque<Reading> reading_;
  std::vector<Generating> generating_;
  int64_t sequences_ = 0, reserved_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::vector<JobPtr> inbox_;
  bool stopping_ = false;
  Stats stats_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace rmoe::serve
