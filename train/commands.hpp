// The subcommands of `rmoe`. Each adds its options to the command line and leaves the work in `run`.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace rmoe {

/// The chosen subcommand; returns the exit code.
using Action = std::function<int()>;

inline constexpr int kInterrupted = 130;

void add_train(CLI::App& app, Action& run);
void add_sft(CLI::App& app, Action& run);
void add_eval(CLI::App& app, Action& run);
void add_sample(CLI::App& app, Action& run);
void add_info(CLI::App& app, Action& run);
void add_serve(CLI::App& app, Action& run);
void add_data(CLI::App& app, Action& run);
void add_tokenizer(CLI::App& app, Action& run);
void add_trace(CLI::App& app, Action& run);
void add_reproduce(CLI::App& app, Action& run);
void add_analyze(CLI::App& app, Action& run);
void add_bench(CLI::App& app, Action& run);
void add_export(CLI::App& app, Action& run);
void add_import(CLI::App& app, Action& run);
void add_plan(CLI::App& app, Action& run);

}  // namespace rmoe
