// A model of either kind with its parameters: what trainers, evaluators and tools hold.
#pragma once

#include "models/llama.hpp"
#include "models/lm.hpp"

#include <variant>

namespace rmoe {

class Model {
 public:
  /// `config.vocab` must be known by now. With bf16, routers and losses are fp32 all the same. On
  /// Device::meta nothing is stored: for counting. llama's experts may be spread over ranks: then these run
  /// the model at the same time.
  Model(const ModelConfig& config, const RouterConfig& router, uint64_t seed, DType dtype = DType::f32,
        Device device = Device::cpu, Communicator* spread_over = nullptr);
  Model(const Model&) = delete;  // modules would go on sharing the original's parameters
  Model& operator=(const Model&) = delete;

  /// `tokens` may be on the CPU wherever the model is.
  ModelOutput operator()(const Tensor& tokens, const Memory& memory, const Context& context) const;
  Memory initial_memory(int64_t B) const;
  /// Per layer with experts, the matrix [E,*] whose rows its router's head compares features with.
  Tensors gate_matrices() const;
  Parameters& parameters() { return parameters_; }
  const Parameters& parameters() const { return parameters_; }
  const ModelConfig& config() const { return config_; }
  const RouterConfig& router() const { return router_; }
  Device device() const { return device_; }

 private:
  using Net = std::variant<Lm, Llama>;
  Net make_net(uint64_t seed, DType dtype, Communicator* spread_over);

  ModelConfig config_;
  RouterConfig router_;
  Device device_;
  Parameters parameters_;
  Net net_;
};

/// Mean cross-entropy in nats over the targets that are not -1; 0 if there is none.
Var token_loss(const ModelOutput& output, const Tensor& targets);

/// What a model is trained on. The routers' losses are means over all tokens, counted or not.
struct Losses {
  Var loss;     // [] token_loss
  Var balance;  // [] load-balance loss; undefined without experts
  Var z;        // [] router z-loss, summed over layers; undefined if its weight is 0
  Var router;   // [] the routers' losses times their weights; undefined if there are none
  Var total;    // [] loss + router
};
/// `shares` are per layer the shares of assignments (expert_share) that the load balance is measured with: of
/// the whole batch if `output` is of a part of it, of `output` itself if there are none. Dense layers' are
/// not read.
Losses losses(const ModelOutput& output, const Tensor& targets, const RouterConfig& router,
              const Tensors& shares = {});

struct ParameterCounts {
  int64_t total = 0, trainable = 0, embedding = 0, router = 0;
  int64_t active = 0;                                   // used per token: K of E experts, everything else
  int64_t non_embedding = 0, active_non_embedding = 0;  // without embedding and head
};
ParameterCounts count_parameters(const Model& model);

}  // namespace rmoe
