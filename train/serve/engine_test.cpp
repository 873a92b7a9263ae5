#include "train/serve/engine.hpp"

#include "tests/serving.hpp"
#include "tests/tiny_models.hpp"

#include <cmath>
#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

using namespace serve;

/// Writes down what it is told.
class Recorder final : public Job {
 public:
  explicit Recorder(std::vector<Task> wanted) {
    tasks = std::move(wanted);
    for (const Task& task : tasks) open += task.choices;
  }

  void prompt_scored(size_t task, std::vector<TokenInfo> infos) override { prompts[task] = std::move(infos); }
  bool token(size_t task, int64_t choice, TokenInfo info) override {
    const std::lock_guard lock(mutex);
    auto& list = tokens[{task, choice}];
    list.push_back(info);
    changed.notify_all();
    return int64_t(list.size()) < enough;
  }
  void finished(size_t task, int64_t choice, Finish reason) override {
    const std::lock_guard lock(mutex);
    reasons[{task, choice}] = reason;
    --open;
    changed.notify_all();
  }
  void failed(int code, const std::string& why) override {
    const std::lock_guard lock(mutex);
    status = code;
    message = why;
    changed.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(20), [&] { return open == 0 || status; });
  }
  void wait_for_tokens(size_t count) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, std::chrono::seconds(20), [&] { return tokens[{0, 0}].size() >= count; });
  }
  std::vector<int32_t> text(size_t task = 0, int64_t choice = 0) const {
    std::vector<int32_t> ids;
    if (const auto it = tokens.find({task, choice}); it != tokens.end())
      for (const TokenInfo& info : it->second) ids.push_back(info.token);
    return ids;
  }

  int64_t enough = 1000, open = 0;
  int status = 0;
  std::string message;
  std::map<size_t, std::vector<TokenInfo>> prompts;
  std::map<std::pair<size_t, int64_t>, std::vector<TokenInfo>> tokens;
  std::map<std::pair<size_t, int64_t>, Finish> reasons;
  std::mutex mutex;
  std::condition_variable changed;
};

std::vector<int32_t> prompt_of(int64_t length, int64_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < length; ++i) tokens.push_back(int32_t((i * 37 + seed * 11) % 250));
  return tokens;
}

std::shared_ptr<Recorder> run(Engine& engine, const std::vector<Task>& tasks) {
  const auto job = std::make_shared<Recorder>(tasks);
  REQUIRE(engine.submit(job));
  job->wait();
  return job;
}

}  // namespace

TEST_CASE("engine: what a request gets does not depend on who else is served") {
  std::vector<Task> tasks;
  for (int64_t i = 0; i < 9; ++i)
    tasks.push_back({.prompt = prompt_of(1 + i * 43 % 300, i),
                     .max_tokens = 3 + i * 5 % 17,
                     .choices = 1 + i % 3,
                     .choice = {.temperature = i % 2 ? 0.8 : 0, .top_p = i % 4 == 1 ? 0.9 : 1},
                     .seed = uint64_t(i),
                     .score_prompt = i % 3 == 0,
                     .top = i % 3 == 1 ? std::nullopt : std::optional<int64_t>(2)});
  Engine engine(tiny_model(), {}, {.concurrent = 5});  // some must wait
  const auto all = run(engine, tasks);
  for (size_t i = 0; i < tasks.size(); ++i) {
    CAPTURE(i);
    const auto alone = run(engine, {tasks[i]});
    for (int64_t choice = 0; choice < tasks[i].choices; ++choice) {
      const auto &together = all->tokens[{i, choice}], &apart = alone->tokens[{0, choice}];
      REQUIRE(together.size() == size_t(tasks[i].max_tokens));
      REQUIRE(apart.size() == together.size());
      for (size_t k = 0; k < apart.size(); ++k) {
        CHECK(apart[k].token == together[k].token);
        CHECK(apart[k].log_prob == together[k].log_prob);
        CHECK(apart[k].top == together[k].top);
      }
    }
    CHECK(all->prompts[i].size() == (tasks[i].score_prompt ? tasks[i].prompt.size() - 1 : 0));
  }
  CHECK(all->text(1, 0) != all->text(1, 1));  // choices draw from streams of their own
}

TEST_CASE("engine: prompts are scored alike whether read for an answer or only for their scores") {
  Engine engine(tiny_model(), {}, {});
  const Task only{.prompt = prompt_of(150, 3),
                  .max_tokens = 1,
                  .choice = {.temperature = 0},
                  .score_prompt = true,
                  .top = 1};
  Task more = only;
  more.max_tokens = 2;
  CHECK(only.only_scores());
  CHECK_FALSE(more.only_scores());
  const auto scored = run(engine, {only}), read = run(engine, {more});
  const auto expected = rmoe::score(tiny_model(), std::vector<std::vector<int32_t>>{only.prompt})[0];
  REQUIRE(scored->prompts[0].size() == 149);
  REQUIRE(read->prompts[0].size() == 149);
  for (size_t i = 0; i < 149; ++i) {
    const TokenInfo &a = scored->prompts[0][i], &b = read->prompts[0][i];
    CHECK(a.token == only.prompt[i + 1]);
    CHECK(a.log_prob == doctest::Approx(expected[i].log_prob).epsilon(1e-5));
    CHECK(b.log_prob == doctest::Approx(expected[i].log_prob).epsilon(1e-5));
    CHECK(a.top[0].first == expected[i].best);
    CHECK(a.top.size() == (expected[i].best == a.token ? 1 : 2));
  }
  REQUIRE(scored->text().size() == 1);
  CHECK(scored->text()[0] == read->text()[0]);
}

TEST_CASE("engine: an answer ends at its length, at the end of the text, or when enough was said") {
  Engine engine(tiny_model(), {}, {});
  const Task task{.prompt = prompt_of(5, 1), .max_tokens = 30, .seed = 4};
  const auto whole = run(engine, {task});
  CHECK(whole->text().size() == 30);
  CHECK(whole->reasons[{0, 0}] == Finish::length);
  const auto job = std::make_shared<Recorder>(std::vector{task});
  job->enough = 7;
  REQUIRE(engine.submit(job));
  job->wait();
  CHECK(job->text().size() == 7);
  CHECK(job->reasons[{0, 0}] == Finish::stop);
  Engine with_end(tiny_model(), whole->text()[9], {});
  const auto ended = run(with_end, {task});
  CHECK(ended->text().size() <= 10);
  CHECK(ended->text().back() == whole->text()[9]);
  CHECK(ended->reasons[{0, 0}] == Finish::stop);
  const auto none = run(engine, {{.prompt = {1}, .max_tokens = 0}});
  CHECK(none->text().empty());
  CHECK(none->reasons[{0, 0}] == Finish::length);
}

TEST_CASE("engine: cancelled work stops, and a full server says so") {
  Engine engine(tiny_model(), {},
                {.max_tokens = 100000, .concurrent = 1, .cache_tokens = 200000, .requests = 2});
  const Task endless{.prompt = {1}, .max_tokens = 100000};
  const auto first = std::make_shared<Recorder>(std::vector{endless});
  const auto second = std::make_shared<Recorder>(std::vector<Task>{{.prompt = {2}, .max_tokens = 2}});
  REQUIRE(engine.submit(first));
  first->wait_for_tokens(3);
  REQUIRE(engine.submit(second));
  CHECK_FALSE(engine.submit(std::make_shared<Recorder>(std::vector{endless})));
  CHECK(second->text().empty());  // there is room for one sequence only
  first->cancelled = true;
  second->wait();
  CHECK(second->text().size() == 2);
  CHECK(first->text().size() < 100000);
  const auto third = std::make_shared<Recorder>(std::vector{endless});
  while (!engine.submit(third)) usleep(1000);
  engine.stop();
  CHECK(third->status == 503);
  CHECK(engine.stats().jobs <= 1);
  CHECK_FALSE(engine.submit(second));
}

TEST_CASE("engine: a model that is not finite fails its requests, not the server") {
  TinyCase tiny = tiny_case("llama-rmoe");
  Model model(tiny.model, tiny.router, 1);
  for (const Parameter& p : model.parameters())
    if (p.name == "head.weight") fill(p.var.value(), std::nan(""));
  Engine engine(model, {}, {});
  for (const bool scored : {false, true}) {
    const auto job = run(engine, {{.prompt = {1, 2},
                                   .max_tokens = 1,
                                   .choice = {.temperature = 0},
                                   .score_prompt = scored,
                                   .top = 1}});
    CHECK(job->status == 500);
    CHECK(job->message.find("finite") != std::string::npos);
  }
  CHECK(engine.stats().jobs <= 1);
}

}  // namespace rmoe::test
