#include "engine/error.hpp"
#include "models/router/spec.hpp"
#include "train/exact.hpp"
#include "train/fields.hpp"

#include <algorithm>
#include <cmath>

namespace rmoe {
namespace {

class Checker {
 public:
  Checker(std::span<const Field> fields, std::vector<std::string>& problems)
      : fields_(fields), problems_(problems) {}

  /// Notes `problem` about this key, with the place where it was set.
  template <class... Args>
  void wrong(std::string_view key, const Args&... problem) {
    problems_.push_back(concat(field(key).where, key, ": ", problem...));
  }

  /// Notes a `problem` between two keys, with the place where one of them was set.
  template <class... Args>
  void clash(std::string_view key, std::string_view other, const Args&... problem) {
    const std::string& where = field(key).where;
    problems_.push_back(concat(where.empty() ? field(other).where : where, key, ": ", problem...));
  }

  template <class T>
  const T& value(std::string_view key) const {
    return *std::get<T*>(field(key).value);
  }

  void at_least(int64_t least, std::initializer_list<std::string_view> keys) {
    for (std::string_view key : keys)
      if (const int64_t n = value<int64_t>(key); n < least)
        wrong(key, "wanted at least ", least, ", got ", n);
  }

  /// Numbers that pass `good`; NaN never does.
  template <class Good>
  void numbers(const char* wanted, Good good, std::initializer_list<std::string_view> keys) {
    for (std::string_view key : keys)
      if (const double x = value<double>(key); !std::isfinite(x) || !good(x))
        wrong(key, "wanted ", wanted, ", got ", std::isfinite(x) ? exact(x) : std::to_string(x));
  }

  void one_of(std::string_view key, const std::vector<std::string>& allowed) {
    const std::string& text = value<std::string>(key);
    if (std::ranges::find(allowed, text) != allowed.end()) return;
    std::string list;
    for (const std::string& name : allowed) list += (list.empty() ? "" : ", ") + concat('"', name, '"');
    wrong(key, "wanted one of ", list, ", got \"", text, '"');
  }

 private:
  const Field& field(std::string_view key) const { return *std::ranges::find(fields_, key, &Field::key); }

  std::span<const Field> fields_;
  std::vector<std::string>& problems_;
};

void check_ranges(Checker& check) {
  check.at_least(1, {"model.layers", "model.hidden", "model.heads", "model.span", "model.experts",
                     "model.top_k", "model.expert_hidden", "router.state", "train.steps", "train.batch",
                     "train.block", "train.micro_batches", "train.eval_blocks", "train.eval_streams",
                     "train.log_every", "train.keep", "train.expert_parallel"});
  check.at_least(0, {"model.kv_heads", "model.dense_layers", "model.dense_hidden", "model.shared_hidden",
                     "model.vocab", "train.seed", "train.eval_every", "train.analyze_every",
                     "train.checkpoint_every", "optimizer.warmup", "sft.valid"});
  check.numbers("a number in [0, 1)", [](double x) { return x >= 0 && x < 1; },
                {"model.dropout", "data.valid_share", "data.test_share", "optimizer.beta1", "optimizer.beta2",
                 "optimizer.warmup_ratio"});
  check.numbers("a number above 0", [](double x) { return x > 0; },
                {"model.init_std", "model.norm_eps", "model.rope_theta", "optimizer.lr", "optimizer.eps"});
  check.numbers("a number of at least 0", [](double x) { return x >= 0; },
                {"model.moe_weight", "model.shared_weight", "router.balance_weight", "router.z_loss_weight",
                 "router.capacity_factor", "optimizer.weight_decay", "optimizer.clip", "optimizer.min_lr",
                 "sft.epochs"});
}

void check_names(Checker& check) {
  check.one_of("model.kind", {"lm", "llama"});
  check.one_of("model.expert_init", {"fastmoe", "linear"});
  check.one_of("router.name", router_names());
  check.one_of("router.balance_over", {"batch", "micro_batch"});
  check.one_of("router.balance_layers", {"each", "joint"});
  check.one_of("router.freeze", {"", "router", "recurrent", "router,recurrent"});
  check.one_of("train.precision", {"fp32", "bf16"});
  check.one_of("data.newline", {"eos", "byte", "drop"});
  check.one_of("optimizer.name", {"adam", "adamw"});
  check.one_of("optimizer.decay", {"matrices", "all"});
  check.one_of("optimizer.schedule", {"constant", "cosine"});
}

/// Options that `lm` does not have.
void check_llama_only(const ModelConfig& m, Checker& check) {
  if (m.kind == "llama") return;
  const auto refuse = [&](const char* key, bool used) {
    if (used) check.clash(key, "model.kind", "wants model.kind = \"llama\", got \"", m.kind, '"');
  };
  refuse("model.kv_heads", m.kv_heads > 0);
  refuse("model.dense_layers", m.dense_layers > 0);
  refuse("model.dense_hidden", m.dense_hidden > 0);
  refuse("model.shared_hidden", m.shared_hidden > 0);
  refuse("model.tied_head", m.tied_head);
}

void check_shapes(const ModelConfig& m, Checker& check) {
  check_llama_only(m, check);
  if (m.dense_layers > 0 && m.dense_layers >= m.layers)
    check.clash("model.dense_layers", "model.layers", "wanted fewer than model.layers = ", m.layers, ", got ",
                m.dense_layers, "; router.name = \"dense\" has no experts at all");
  if (m.top_k > m.experts)
    check.clash("model.top_k", "model.experts", "wanted at most model.experts = ", m.experts, ", got ",
                m.top_k);
  if (m.heads < 1) return;
  if (m.kv_heads > 0 && m.heads % m.kv_heads != 0)
    check.clash("model.kv_heads", "model.heads", "wanted a divisor of model.heads = ", m.heads, ", got ",
                m.kv_heads);
  if (m.hidden % m.heads != 0)
    check.clash("model.hidden", "model.heads", "wanted a multiple of model.heads = ", m.heads, ", got ",
                m.hidden);
  else if (m.kind == "llama" && m.hidden / m.heads % 2 != 0)
    check.clash("model.hidden", "model.heads", "llama's rotary embedding wants an even head size, got ",
                m.hidden, " / ", m.heads, " = ", m.hidden / m.heads);
}

void check_expert_parallel(const Config& c, Checker& check) {
  constexpr const char* kKey = "train.expert_parallel";
  const int64_t group = c.train.expert_parallel;
  if (group <= 1) return;
  if (c.model.kind != "llama")
    check.clash(kKey, "model.kind", "wants model.kind = \"llama\", got \"", c.model.kind, '"');
  if (c.model.experts % group != 0)
    check.clash(kKey, "model.experts", "wanted a divisor of model.experts = ", c.model.experts, ", got ",
                group);
}

void check_combinations(const Config& c, Checker& check) {
  if (c.router.name == "dense" && c.model.kind != "llama")
    check.clash("router.name", "model.kind", "\"dense\" wants model.kind = \"llama\", got \"", c.model.kind,
                '"');
  if (c.train.micro_batches > c.train.batch)
    check.clash("train.micro_batches", "train.batch", "wanted at most train.batch = ", c.train.batch,
                ", got ", c.train.micro_batches);
  if (c.data.valid_share + c.data.test_share >= 1)
    check.clash("data.valid_share", "data.test_share",
                "leaves nothing to train on beside data.test_share = ", exact(c.data.test_share));
  if (c.optimizer.weight_decay > 0 && c.optimizer.name == "adam")
    check.clash("optimizer.weight_decay", "optimizer.name", "wants optimizer.name = \"adamw\", got \"adam\"");
  if (c.optimizer.min_lr > c.optimizer.lr)
    check.clash("optimizer.min_lr", "optimizer.lr", "wanted at most optimizer.lr = ", exact(c.optimizer.lr),
                ", got ", exact(c.optimizer.min_lr));
}

}  // namespace

void check_values(const Config& config, std::span<const Field> fields, std::vector<std::string>& problems) {
  Checker check(fields, problems);
  check_ranges(check);
  check_names(check);
  check_shapes(config.model, check);
  check_combinations(config, check);
  check_expert_parallel(config, check);
}

}  // namespace rmoe
