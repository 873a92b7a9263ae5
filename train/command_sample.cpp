#include "data/sft/alpaca.hpp"
#include "train/checkpointed_model.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/sample.hpp"
#include "train/signals.hpp"

#include <chrono>
#include <fmt/core.h>

namespace rmoe {
namespace {

struct Options {
  std::string path, prompt;
  bool alpaca = false;
  SampleOptions sample;
  MachineOptions machine;
};

int run_sample(const Options& o) {
  o.machine.apply("sample");
  const CheckpointedModel opened = open_checkpoint(o.path);
  const std::string text = o.alpaca ? Instruction{o.prompt, "", ""}.prompt() : o.prompt;
  const std::vector<int32_t> prompt = opened.tokenizer->encode(text);
  if (!o.alpaca) fmt::print("{}", o.prompt);
  watch_stop_signals();
  const auto start = std::chrono::steady_clock::now();
  int64_t tokens = 0;
  sample(*opened.model, prompt, o.sample, [&](int32_t token) {
    if (o.alpaca && token == opened.tokenizer->eos()) return false;
    fmt::print("{}", opened.tokenizer->piece(token));
    std::fflush(stdout);
    ++tokens;
    return !stop_requested();
  });
  fmt::print("\n");
  std::fflush(stdout);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  fmt::print(stderr, "{} tokens, {:.1f} tokens/s with the reading of the prompt\n", tokens,
             double(tokens) / taken.count());
  return stop_requested() ? kInterrupted : 0;
}

}  // namespace

void add_sample(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("sample", "Generate text from a trained model");
  command->add_option("RUN", o->path, "run folder or checkpoint")->required();
  command->add_option("--prompt", o->prompt, "text to continue")->required();
  command->add_flag("--alpaca", o->alpaca,
                    "the prompt is an instruction for a model that `sft` has taught; its answer is printed");
  command->add_option("--tokens", o->sample.tokens, "tokens to generate")->check(CLI::NonNegativeNumber);
  command->add_option("--temperature", o->sample.choice.temperature, "0 takes the likeliest token")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--top-k", o->sample.choice.top_k, "draw from the K likeliest tokens; 0: all")
      ->check(CLI::NonNegativeNumber);
  command
      ->add_option("--top-p", o->sample.choice.top_p,
                   "draw from the fewest tokens that together are so likely")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", o->sample.seed, "of the draws");
  o->machine.add_to(*command);
  command->callback([o, &run] { run = [o] { return run_sample(*o); }; });
}

}  // namespace rmoe
