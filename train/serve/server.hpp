// `rmoe serve`: OpenAI's completions over HTTP.
//
//   POST /v1/completions   prompt: text, texts, tokens or arrays of tokens; echo, logprobs, stop, seed, n,
//   stream GET  /v1/models        the one model POST /tokenize         {"prompt": text} -> {"tokens": [ids],
//   "count": n} POST /detokenize       {"tokens": [ids]} -> {"prompt": text} GET  /tokenizer_info eos_token,
//   bos_token, pad_token, vocab_size GET  /health           without a key GET  /metrics          what is at
//   work, in Prometheus' text format
#pragma once

#include "data/tokenizer/tokenizer.hpp"
#include "train/serve/completion.hpp"
#include "train/serve/engine.hpp"
#include "train/serve/http_server.hpp"

namespace rmoe::serve {

struct ServeOptions {
  std::string name = "rmoe";  // of the model, in answers
  std::string api_key = {};
  EngineLimits engine = {};
  HttpLimits http = {};
};

class Server {
 public:
  /// The model must outlive the server.
  Server(const Model& model, TokenizerPtr tokenizer, const ServeOptions& options);

  /// Begins to serve and returns the port.
  int start(const std::string& host, int port) { return http_.start(host, port); }
  /// Takes on nothing new, gives what is at work up to `seconds` to finish, and ends. False if some did not.
  bool stop(double seconds);
  Engine::Stats stats() const { return engine_.stats(); }

 private:
  void completions(const httplib::Request& request, const std::string& body, httplib::Response& response);
  void answer_whole(const std::shared_ptr<Completion>& job, httplib::Response& response) const;
  void answer_stream(const std::shared_ptr<Completion>& job, httplib::Response& response) const;
  std::string models() const;
  std::string tokenize(const std::string& body) const;
  std::string detokenize(const std::string& body) const;
  std::string tokenizer_info() const;
  std::string metrics() const;

  const TokenizerPtr tokenizer_;
  const ServeOptions options_;
  const int64_t started_;  // Unix time
  std::atomic<uint64_t> next_seed_;
  Engine engine_;
  HttpServer http_;  // last: its threads use all of the above
};

}  // namespace rmoe::serve
