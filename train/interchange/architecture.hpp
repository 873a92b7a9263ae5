// Which Hugging Face architecture computes the same function as a model of ours, and its config.json.
#pragma once

#include "models/model.hpp"
#include "train/config.hpp"

#include <nlohmann/json_fwd.hpp>
#include <optional>

namespace rmoe::interchange {

enum class Architecture {
  llama,    // LlamaForCausalLM: no experts
  mixtral,  // MixtralForCausalLM: smoe in every layer, no shared expert
  rmoe      // "llama_moe_rnn" of the paper's authors: gru, rnn or linear router, dense layers, shared expert
};

/// The class in Transformers.
const char* name_of(Architecture architecture);

/// A UsageError says what a model has that none of them has.
Architecture architecture_of(const ModelConfig& model, const RouterConfig& router);

struct SpecialTokens {
  std::optional<int32_t> bos, eos, pad;
};

/// Every field is written: the defaults of Transformers differ from class to class.
nlohmann::ordered_json config_json(const Config& config, const Model& model, const SpecialTokens& special,
                                   DType dtype);
nlohmann::ordered_json generation_config_json(const SpecialTokens& special);

/// The other way round: model, router and train.block of a config.json. What it asks for and we do not
/// compute is an Error naming the field.
Config config_from_json(const nlohmann::json& json);

}  // namespace rmoe::interchange
