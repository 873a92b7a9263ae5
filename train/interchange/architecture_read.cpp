// config.json of a Hugging Face folder -> Config. Nothing in it is trusted: every size is checked against a
// limit before anything is made from it.
#include "engine/error.hpp"
#include "train/interchange/architecture.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

namespace rmoe::interchange {
namespace {

using nlohmann::json;

constexpr int64_t kMostWidth = int64_t{1} << 20;  // hidden size, expert width, router state
constexpr int64_t kMostVocabulary = int64_t{1} << 24;
constexpr int64_t kMostLayers = 1 << 12, kMostExperts = 1 << 12, kMostPositions = int64_t{1} << 31;

class Fields {
 public:
  explicit Fields(const json& object) : object_(object) {
    RMOE_CHECK(object.is_object(), "wanted a JSON object");
  }

  /// Present and not null?
  bool has(const char* key) const { return object_.contains(key) && !object_[key].is_null(); }
  const json& at(const char* key) const {
    RMOE_CHECK(has(key), "\"", key, "\" is missing");
    return object_[key];
  }

  int64_t size(const char* key, int64_t most) const {
    const json& value = at(key);
    const bool fits = value.is_number_unsigned() && value >= 1 && value <= most;
    RMOE_CHECK(fits, "\"", key, "\" is ", value.dump(), ", wanted a whole number from 1 to ", most);
    return value.get<int64_t>();
  }
  int64_t size_or(const char* key, int64_t most, int64_t otherwise) const {
    return has(key) ? size(key, most) : otherwise;
  }
  double number_or(const char* key, double otherwise) const {
    if (!has(key)) return otherwise;
    const json& value = at(key);
    RMOE_CHECK(value.is_number() && std::isfinite(value.get<double>()), "\"", key, "\" is ", value.dump(),
               ", wanted a number");
    return value.get<double>();
  }
  bool flag_or(const char* key, bool otherwise) const {
    if (!has(key)) return otherwise;
    RMOE_CHECK(at(key).is_boolean(), "\"", key, "\" is ", at(key).dump(), ", wanted true or false");
    return at(key).get<bool>();
  }
  std::string text_or(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    RMOE_CHECK(at(key).is_string(), "\"", key, "\" is ", at(key).dump(), ", wanted a text");
    return at(key).get<std::string>();
  }
  /// What only one value can be computed of here; absent and null mean that value.
  void only(const char* key, const json& wanted) const {
    RMOE_CHECK(!has(key) || at(key) == wanted, "\"", key, "\" is ", at(key).dump(),
               ", which is not supported; wanted ", wanted.dump());
  }

 private:
  const json& object_;
};

/// Transformers 5 keeps both in "rope_parameters"; 4 has "rope_theta" and "rope_scaling" beside each other.
double read_rope_theta(const Fields& f, double otherwise) {
  double theta = f.number_or("rope_theta", otherwise);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!f.has(key)) continue;
    const Fields rope(f.at(key));
    const std::string type = rope.text_or("rope_type", rope.text_or("type", "default"));
    RMOE_CHECK(type == "default", "\"", key, "\" asks for \"", type,
               "\", which is not supported; wanted \"default\"");
    rope.only("partial_rotary_factor", 1.0);
    theta = rope.number_or("rope_theta", theta);
  }
  return theta;
}

struct Defaults {  // of the class in Transformers, for a config.json that leaves them out
  double norm_eps, rope_theta;
  int64_t kv_heads, positions;
};

void read_common(const Fields& f, const Defaults& defaults, Config& config) {
  ModelConfig& m = config.model;
  m.kind = "llama";
  m.dropout = 0;
  m.vocab = f.size("vocab_size", kMostVocabulary);
  m.hidden = f.size("hidden_size", kMostWidth);
  m.layers = f.size("num_hidden_layers", kMostLayers);
  m.heads = f.size("num_attention_heads", m.hidden);
  m.kv_heads =
      f.size_or("num_key_value_heads", m.hidden, defaults.kv_heads > 0 ? defaults.kv_heads : m.heads);
  if (m.kv_heads == m.heads) m.kv_heads = 0;
  m.init_std = f.number_or("initializer_range", 0.02);
  m.norm_eps = f.number_or("rms_norm_eps", defaults.norm_eps);
  m.rope_theta = read_rope_theta(f, defaults.rope_theta);
  m.tied_head = f.flag_or("tie_word_embeddings", false);
  config.train.block = f.size_or("max_position_embeddings", kMostPositions, defaults.positions);
  f.only("head_dim", m.hidden / m.heads);
  f.only("hidden_act", "silu");
  for (const char* key : {"attention_bias", "mlp_bias", "add_moe_bias"}) f.only(key, false);
  for (const char* key : {"sliding_window", "quantization_config"}) f.only(key, nullptr);
  f.only("partial_rotary_factor", 1.0);
}

void read_experts(const Fields& f, const char* width, Config& config) {
  ModelConfig& m = config.model;
  m.expert_hidden = f.size(width, kMostWidth);
  m.experts = f.size("num_local_experts", kMostExperts);
  m.top_k = f.size("num_experts_per_tok", m.experts);
  config.router.balance_weight = f.number_or("router_aux_loss_coef", 0.001);
}

Config read_llama(const Fields& f) {
  Config config;
  read_common(f, {.norm_eps = 1e-6, .rope_theta = 1e4, .kv_heads = 0, .positions = 2048}, config);
  config.router.name = "dense";
  config.model.expert_hidden = f.size("intermediate_size", kMostWidth);
  return config;
}

Config read_mixtral(const Fields& f) {
  Config config;
  read_common(f, {.norm_eps = 1e-5, .rope_theta = 1e6, .kv_heads = 8, .positions = 131072}, config);
  config.router.name = "smoe";
  read_experts(f, "intermediate_size", config);
  return config;
}

/// Whatever is neither has a linear gate, as in the authors' program.
std::string read_router(const Fields& f) {
  const std::string type = f.text_or("moe_router_type", "gru");
  return type == "gru" ? "rmoe" : type == "rnn" ? "rmoe-rnn" : "smoe";
}

Config read_rmoe(const Fields& f) {
  Config config;
  ModelConfig& m = config.model;
  read_common(f, {.norm_eps = 1e-6, .rope_theta = 1e4, .kv_heads = 0, .positions = 2048}, config);
  config.router.name = read_router(f);
  config.router.state = f.size_or("moe_router_rnn_hidden_size", kMostWidth, 256);
  read_experts(f,
               f.has("moe_expert_intermediate_size") ? "moe_expert_intermediate_size" : "intermediate_size",
               config);
  m.dense_layers = m.layers - f.size("moe_num_layers", m.layers);
  if (m.dense_layers > 0) m.dense_hidden = f.size("intermediate_size", kMostWidth);
  if (f.flag_or("add_moe_share_expert", false)) {
    m.shared_hidden =
        f.size_or("moe_share_expert_intermediate_size", kMostWidth, f.size("intermediate_size", kMostWidth));
    m.moe_weight = f.number_or("moe_weight", 0.5);
    m.shared_weight = f.number_or("share_weight", 0.5);
  }
  return config;
}

}  // namespace

Config config_from_json(const json& object) {
  const Fields f(object);
  const std::string type = f.text_or("model_type", "");
  if (type == "llama") return read_llama(f);
  if (type == "mixtral") return read_mixtral(f);
  if (type == "llama_moe_rnn") return read_rmoe(f);
  fail("\"model_type\" is ", f.has("model_type") ? f.at("model_type").dump() : "missing",
       "; \"llama\", \"mixtral\" and \"llama_moe_rnn\" (the paper's) can be imported");
}

}  // namespace rmoe::interchange
