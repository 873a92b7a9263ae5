#include "train/interchange/architecture.hpp"

#include "engine/error.hpp"
#include "models/router/spec.hpp"

#include <nlohmann/json.hpp>

namespace rmoe::interchange {
namespace {

using nlohmann::ordered_json;

template <class... Args>
[[noreturn]] void refuse(const Args&... args) {
  throw UsageError(concat("export: ", args...));
}

ordered_json id_or_null(const std::optional<int32_t>& id) { return id ? ordered_json(*id) : ordered_json(); }

/// What all three have in common.
ordered_json common(const Config& config, const SpecialTokens& special, DType dtype) {
  const ModelConfig& m = config.model;
  const char* type = dtype == DType::bf16 ? "bfloat16" : "float32";
  return {{"vocab_size", m.vocab},
          {"hidden_size", m.hidden},
          {"num_hidden_layers", m.layers},
          {"num_attention_heads", m.heads},
          {"num_key_value_heads", m.kv_heads > 0 ? m.kv_heads : m.heads},
          {"head_dim", m.hidden / m.heads},
          {"hidden_act", "silu"},
          {"max_position_embeddings", config.train.block},
          {"initializer_range", m.init_std},
          {"rms_norm_eps", m.norm_eps},
          {"rope_theta", m.rope_theta},  // read by Transformers 4, the next by Transformers 5
          {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", m.rope_theta}}},
          {"attention_bias", false},
          {"attention_dropout", 0.0},
          {"tie_word_embeddings", m.tied_head},
          {"use_cache", true},
          {"bos_token_id", id_or_null(special.bos)},
          {"eos_token_id", id_or_null(special.eos)},
          {"pad_token_id", id_or_null(special.pad)},
          {"dtype", type},
          {"torch_dtype", type}};
}

/// Of the dense blocks; 0 if there are none.
int64_t dense_width(const Model& model) {
  for (const Parameter& p : model.parameters())
    if (p.name.ends_with(".mlp.w1")) return p.var.dim(0);
  return 0;
}

void add_llama(ordered_json& json, const Model& model) {
  json["model_type"] = "llama";
  json["intermediate_size"] = dense_width(model);
  json["mlp_bias"] = false;
  json["pretraining_tp"] = 1;
}

void add_experts(ordered_json& json, const Config& config) {
  json["num_local_experts"] = config.model.experts;
  json["num_experts_per_tok"] = config.model.top_k;
  json["router_aux_loss_coef"] = config.router.balance_weight;
  json["output_router_logits"] = false;
}

void add_mixtral(ordered_json& json, const Config& config) {
  json["model_type"] = "mixtral";
  json["intermediate_size"] = config.model.expert_hidden;
  json["sliding_window"] = nullptr;
  json["router_jitter_noise"] = 0.0;
  add_experts(json, config);
}

const char* router_type(const RouterConfig& router) {
  return router.name == "rmoe" ? "gru" : router.name == "rmoe-rnn" ? "rnn" : "linear";
}

void add_rmoe(ordered_json& json, const Config& config, const Model& model) {
  const ModelConfig& m = config.model;
  json["model_type"] = "llama_moe_rnn";
  json["auto_map"] = {{"AutoConfig", "modeling_rmoe.RmoeConfig"},
                      {"AutoModelForCausalLM", "modeling_rmoe.RmoeForCausalLM"}};
  json["intermediate_size"] = m.dense_layers > 0 ? dense_width(model) : m.expert_hidden;
  json["moe_expert_intermediate_size"] = m.expert_hidden;
  json["moe_num_layers"] = m.layers - m.dense_layers;
  json["add_moe_share_expert"] = m.shared_hidden > 0;
  json["moe_share_expert_intermediate_size"] =
      m.shared_hidden > 0 ? ordered_json(m.shared_hidden) : ordered_json();
  json["moe_weight"] = m.shared_hidden > 0 ? m.moe_weight : 1.0;
  json["share_weight"] = m.shared_hidden > 0 ? m.shared_weight : 0.0;
  json["add_moe_bias"] = false;
  json["moe_router_type"] = router_type(config.router);
  json["moe_router_rnn_hidden_size"] = config.router.state;
  json["pretraining_tp"] = 1;
  add_experts(json, config);
}

}  // namespace

const char* name_of(Architecture architecture) {
  switch (architecture) {
    case Architecture::llama:
      return "LlamaForCausalLM";
    case Architecture::mixtral:
      return "MixtralForCausalLM";
    case Architecture::rmoe:
      return "RmoeForCausalLM";
  }
  return "?";
}

Architecture architecture_of(const ModelConfig& model, const RouterConfig& router) {
  if (model.kind != "llama")
    refuse("model.kind \"", model.kind,
           "\" has no Hugging Face architecture (a memory and relative positions); "
           "\"llama\" can be exported");
  if (router.name == "dense") return Architecture::llama;
  const bool plain = model.dense_layers == 0 && model.shared_hidden == 0;
  if (router.name == "smoe") return plain ? Architecture::mixtral : Architecture::rmoe;
  if (router.name == "rmoe" || router.name == "rmoe-rnn") return Architecture::rmoe;
  refuse("router \"", router.name,
         "\" has no Hugging Face architecture; dense (Llama), smoe (Mixtral), rmoe and rmoe-rnn (the "
         "paper's) can be "
         "exported");
}

ordered_json config_json(const Config& config, const Model& model, const SpecialTokens& special,
                         DType dtype) {
  const Architecture architecture = architecture_of(config.model, config.router);
  ordered_json json{{"architectures", {name_of(architecture)}}};
  json.update(common(config, special, dtype));
  switch (architecture) {
    case Architecture::llama:
      add_llama(json, model);
      break;
    case Architecture::mixtral:
      add_mixtral(json, config);
      break;
    case Architecture::rmoe:
      add_rmoe(json, config, model);
      break;
  }
  return json;
}

ordered_json generation_config_json(const SpecialTokens& special) {
  return {{"bos_token_id", id_or_null(special.bos)},
          {"eos_token_id", id_or_null(special.eos)},
          {"pad_token_id", id_or_null(special.pad)}};
}

}  // namespace rmoe::interchange
