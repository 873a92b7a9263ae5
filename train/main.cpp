// rmoe: trains, evaluates and examines mixture-of-experts language models with the layerwise recurrent
// router.
#include "engine/error.hpp"
#include "engine/parallel.hpp"
#include "train/commands.hpp"
#include "train/version.hpp"

#include <fmt/core.h>
#include <new>

namespace {

enum ExitCode { kDone = 0, kFailed = 1, kWrongUsage = 2 };

int complain(const char* what, ExitCode code) {
  fmt::print(stderr, "rmoe: {}\n", what);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  rmoe::spin_briefly(argv);
  CLI::App app("rmoe trains mixture-of-experts language models with the layerwise recurrent router", "rmoe");
  app.set_version_flag("--version", rmoe::build_information());
  app.require_subcommand(0, 1);  // checked below: a misspelt one is then named
  rmoe::Action run;
  rmoe::add_train(app, run);
  rmoe::add_sft(app, run);
  rmoe::add_eval(app, run);
  rmoe::add_sample(app, run);
  rmoe::add_info(app, run);
  rmoe::add_serve(app, run);
  rmoe::add_data(app, run);
  rmoe::add_tokenizer(app, run);
  rmoe::add_trace(app, run);
  rmoe::add_reproduce(app, run);
  rmoe::add_analyze(app, run);
  rmoe::add_bench(app, run);
  rmoe::add_export(app, run);
  rmoe::add_import(app, run);
  rmoe::add_plan(app, run);
  try {
    app.parse(argc, argv);
    if (run) return run();
    fmt::print(stderr, "{}", app.help());
    return kWrongUsage;
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? kDone : kWrongUsage;
  } catch (const rmoe::UsageError& e) {
    return complain(e.what(), kWrongUsage);
  } catch (const std::bad_alloc&) {
    return complain("out of memory; lower train.batch or the model size", kFailed);
  } catch (const std::exception& e) {
    return complain(e.what(), kFailed);
  }
}
