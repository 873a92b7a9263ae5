#include "train/serve/server.hpp"

#include "train/serve/utf8.hpp"

#include <ctime>
#include <fmt/core.h>
#include <random>

namespace rmoe::serve {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr const char* kJson = "application/json";
constexpr std::chrono::milliseconds kGlance(
    50);  // how often a waiting thread looks whether its client is there

Clock::time_point deadline(const HttpLimits& limits) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limits.answer_seconds));
}

RequestError too_late(const HttpLimits& limits) {
  return RequestError(504, concat("the answer took more than ", limits.answer_seconds, " s (--timeout)"));
}

std::string event(const std::string& data) { return "data: " + data + "\n\n"; }

/// One event: as much of a stream as there is now. False once it has ended.
bool write_news(Completion& job, httplib::DataSink& sink) {
  job.wait_for_news(kGlance);
  const bool done = job.done();  // before the chunks: nothing comes after it
  std::string events;
  for (const std::string& chunk : job.chunks()) events += event(chunk);
  if (done) events += event("[DONE]");
  if (!events.empty()) sink.write(events.data(), events.size());
  return !done;
}

}  // namespace

Server::Server(const Model& model, TokenizerPtr tokenizer, const ServeOptions& options)
    : tokenizer_(std::move(tokenizer)),
      options_(options),
      started_(std::time(nullptr)),
      next_seed_((uint64_t(std::random_device()()) << 32) | std::random_device()()),
      engine_(model, end_of_text(*tokenizer_), options_.engine),
      http_(options_.http, options_.api_key) {
  const auto json = [](auto&& make) {
    return [make](const httplib::Request&, const std::string& body, httplib::Response& response) {
      response.set_content(make(body), kJson);
    };
  };
  http_.post("/v1/completions", [this](const auto& request, const auto& body, auto& response) {
    completions(request, body, response);
  });
  http_.get("/v1/models", json([this](const std::string&) { return models(); }));
  http_.post("/tokenize", json([this](const std::string& body) { return tokenize(body); }));
  http_.post("/detokenize", json([this](const std::string& body) { return detokenize(body); }));
  http_.get("/tokenizer_info", json([this](const std::string&) { return tokenizer_info(); }));
  http_.get("/health", json([](const std::string&) { return std::string(R"({"status":"ok"})"); }));
  http_.get("/metrics", [this](const auto&, const auto&, auto& response) {
    response.set_content(metrics(), "text/plain; version=0.0.4");
  });
}

bool Server::stop(double seconds) {
  const bool finished = http_.wind_down(seconds);
  engine_.stop();  // who still waits is told so
  http_.wind_down(1);
  http_.stop();
  return finished;
}

void Server::completions(const httplib::Request& request, const std::string& body,
                         httplib::Response& response) {
  CompletionRequest wanted = parse_completion(body, *tokenizer_, options_.engine);
  const bool stream = wanted.stream;
  if (stream && request.version != "HTTP/1.1") throw RequestError(400, "stream: needs HTTP/1.1", "stream");
  const auto job = std::make_shared<Completion>(std::move(wanted), tokenizer_, options_.name, next_seed_++);
  if (!engine_.submit(job)) throw RequestError(503, "the server is busy: try again in a moment");
  if (stream) {
    answer_stream(job, response);
  } else {
    answer_whole(job, response);
  }
}

void Server::answer_whole(const std::shared_ptr<Completion>& job, httplib::Response& response) const {
  const auto end = deadline(options_.http);
  while (!job->wait(kGlance)) {
    const bool late = Clock::now() > end;
    if (!late && !Connection::current().peer_gone()) continue;
    job->cancelled = true;
    Connection::current().close_soon();
    throw late ? too_late(options_.http) : RequestError(408, "the client has hung up");
  }
  response.set_content(job->answer(), kJson);
}

/// Server-sent events. A failure after the first one can only be an event itself.
void Server::answer_stream(const std::shared_ptr<Completion>& job, httplib::Response& response) const {
  const auto next = [this, job, end = deadline(options_.http)](size_t, httplib::DataSink& sink) {
    if (!sink.is_writable()) return false;
    try {
      if (Clock::now() > end) throw too_late(options_.http);
      if (!write_news(*job, sink)) sink.done();
    } catch (const RequestError& e) {
      const std::string last = event(e.body());
      sink.write(last.data(), last.size());
      sink.done();
    }
    return true;
  };
  response.set_header("Cache-Control", "no-cache");
  response.set_chunked_content_provider("text/event-stream", next, [job](bool) { job->cancelled = true; });
}

std::string Server::models() const {
  const Json model{{"id", options_.name},
                   {"object", "model"},
                   {"created", started_},
                   {"owned_by", "rmoe"},
                   {"max_model_len", options_.engine.prompt_tokens}};
  return Json{{"object", "list"}, {"data", Json::array({model})}}.dump();
}

std::string Server::tokenize(const std::string& body) const {
  const std::vector<int32_t> tokens = parse_tokenize(body, *tokenizer_);
  return Json{{"tokens", tokens}, {"count", tokens.size()}, {"max_model_len", options_.engine.prompt_tokens}}
      .dump();
}

std::string Server::detokenize(const std::string& body) const {
  return Json{{"prompt", repaired(tokenizer_->decode(parse_detokenize(body, *tokenizer_)))}}.dump();
}

std::string Server::tokenizer_info() const {
  const auto name = [&](std::optional<int32_t> token) {
    return token ? Json(tokenizer_->name(*token)) : Json();
  };
  return Json{{"eos_token", name(tokenizer_->eos())},
              {"bos_token", name(tokenizer_->bos())},
              {"pad_token", name(tokenizer_->pad())},
              {"vocab_size", tokenizer_->size()}}
      .dump();
}

std::string Server::metrics() const {
  const Engine::Stats stats = engine_.stats();
  std::string text;
  const auto add = [&](const char* name, const char* type, const char* help, int64_t value) {
    text += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n{0} {3}\n", name, type, help, value);
  };
  add("rmoe_connections", "gauge", "open connections", http_.connections());
  add("rmoe_requests", "gauge", "completions at work or waiting", stats.jobs);
  add("rmoe_sequences", "gauge", "sequences that generate", stats.generating);
  add("rmoe_cache_tokens", "gauge", "tokens whose keys and values are reserved", stats.cache_tokens);
  add("rmoe_prompt_tokens_total", "counter", "tokens of prompts read", stats.prompt_tokens);
  add("rmoe_generated_tokens_total", "counter", "tokens generated", stats.generated_tokens);
  return text;
}

}  // namespace rmoe::serve
