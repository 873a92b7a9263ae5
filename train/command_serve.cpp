#include "engine/error.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"

#ifdef RMOE_HTTP
#include "train/checkpointed_model.hpp"
#include "train/serve/server.hpp"
#include "train/signals.hpp"

#include <fmt/core.h>
#include <unistd.h>
#endif

namespace rmoe {

#ifdef RMOE_HTTP
namespace {

struct Options {
  std::string path, host = "127.0.0.1";
  int port = 8000;
  double grace_s = 5;
  int64_t cache_tokens = 0;  // 0: by the machine's memory
  serve::ServeOptions serve;
  MachineOptions machine;
};

/// Bytes of the keys and values of one position.
double position_bytes(const ModelConfig& model) {
  const int64_t heads = model.kv_heads > 0 ? model.kv_heads : model.heads;
  return 2.0 * double(model.layers * (model.hidden / model.heads) * heads) * sizeof(float);
}

/// What the caches can come to: their room doubles when it is full, and every sequence of an lm starts with a
/// span of zeros.
double cache_bytes(const ModelConfig& model, const serve::EngineLimits& limits) {
  const int64_t zeros = model.kind == "lm" ? limits.concurrent * model.span : 0;
  return 2 * position_bytes(model) * double(limits.cache_tokens + zeros);
}

/// As many tokens as half of the machine's memory holds, if nobody said how many.
int64_t tokens_that_fit(const ModelConfig& model, int64_t wanted) {
  const double half = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGE_SIZE)) / 2;
  return std::min(wanted, int64_t(half / (2 * position_bytes(model))));
}

std::string name_of(const std::string& path) {
  return std::filesystem::weakly_canonical(path).filename().string();
}

void say_hello(const Options& o, const CheckpointedModel& opened, int port) {
  const serve::EngineLimits& limits = o.serve.engine;
  fmt::print("listening on http://{}:{} for model {} ({}, {} tokens)\n", o.host, port, o.serve.name,
             opened.path.string(), opened.tokenizer->size());
  fmt::print(
      "at most {} requests, {} sequences at once, {} tokens in their caches (up to {:.0f} MiB); Ctrl-C "
      "ends\n",
      limits.requests, limits.concurrent, limits.cache_tokens,
      cache_bytes(opened.config.model, limits) / (1 << 20));
  if (o.host != "127.0.0.1" && o.host != "localhost" && o.host != "::1" && o.serve.api_key.empty())
    fmt::print("anyone who reaches {} may use this server: --api-key or RMOE_API_KEY asks for a key\n",
               o.host);
  std::fflush(stdout);
}

int run_serve(Options& o) {
  o.machine.apply("serve");
  const CheckpointedModel opened = open_checkpoint(o.path);
  serve::EngineLimits& limits = o.serve.engine;
  limits.cache_tokens =
      o.cache_tokens > 0 ? o.cache_tokens : tokens_that_fit(opened.config.model, limits.cache_tokens);
  if (o.serve.name.empty()) o.serve.name = name_of(o.path);
  watch_stop_signals();
  serve::Server server(*opened.model, opened.tokenizer, o.serve);
  say_hello(o, opened, server.start(o.host, o.port));
  while (!stop_requested()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  fmt::print(stderr, "rmoe serve: ending; what is at work has {} s\n", o.grace_s);
  if (!server.stop(o.grace_s)) fmt::print(stderr, "rmoe serve: some answers were broken off\n");
  return kInterrupted;
}

void add_limits(CLI::App& command, serve::EngineLimits& engine, serve::HttpLimits& http) {
  command.add_option("--max-body", http.body_bytes, "bytes of a request's body")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--max-prompt", engine.prompt_tokens, "tokens of one prompt")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--max-tokens", engine.max_tokens, "tokens generated per choice")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--max-concurrent", engine.concurrent, "sequences that generate at once")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--max-requests", engine.requests, "requests at work or waiting; one more is answered 503")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--timeout", http.answer_seconds, "seconds for the whole answer to a request")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

}  // namespace

void add_serve(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  o->serve.name.clear();
  CLI::App* command = app.add_subcommand("serve", "Answer OpenAI's completion requests over HTTP");
  command->add_option("RUN", o->path, "run folder or checkpoint")->required();
  command->add_option("--host", o->host, "address to listen on")->capture_default_str();
  command->add_option("--port", o->port, "0: any free one, printed")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command->add_option("--api-key", o->serve.api_key, "what clients must show; better in the environment")
      ->envname("RMOE_API_KEY");
  command->add_option("--name", o->serve.name, "of the model, in answers; default: the folder's");
  add_limits(*command, o->serve.engine, o->serve.http);
  command
      ->add_option("--cache-tokens", o->cache_tokens,
                   "bound of the memory of these: the sum of their prompts and max_tokens; default: 262144, "
                   "or what half of the machine's memory holds")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--grace", o->grace_s, "seconds that what is at work has to finish when the server ends")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  o->machine.add_to(*command);
  command->footer(
      "POST /v1/completions /tokenize /detokenize, GET /v1/models /tokenizer_info /health /metrics\n"
      "The evaluation harness:\n"
      "  lm_eval run --model local-completions --tasks ... --model_args "
      "model=rmoe,base_url=http://127.0.0.1:8000/v1/completions,tokenizer_backend=remote,max_length=2048");
  command->callback([o, &run] { run = [o] { return run_serve(*o); }; });
}

#else

void add_serve(CLI::App& app, Action& run) {
  CLI::App* command =
      app.add_subcommand("serve", "Answer OpenAI's completion requests over HTTP (not in this build)");
  command->allow_extras();
  command->callback([&run] {
    run = []() -> int {
      fail(
          "serve: this build has no HTTP server; install libcpp-httplib-dev and pkg-config, then build "
          "again");
    };
  });
}

#endif

}  // namespace rmoe
