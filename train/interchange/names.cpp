#include "train/interchange/names.hpp"

#include <algorithm>

namespace rmoe::interchange {
namespace {

struct Rename {
  std::string_view ours, theirs;
};

constexpr Rename kOfModel[] = {
    {"embed.weight", "model.embed_tokens.weight"},
    {"norm.weight", "model.norm.weight"},
    {"head.weight", "lm_head.weight"},
};

constexpr Rename kOfLayer[] = {
    // behind "layers.{i}." and "model.layers.{i}."
    {"norm1.weight", "input_layernorm.weight"},
    {"attn.q.weight", "self_attn.q_proj.weight"},
    {"attn.k.weight", "self_attn.k_proj.weight"},
    {"attn.v.weight", "self_attn.v_proj.weight"},
    {"attn.o.weight", "self_attn.o_proj.weight"},
    {"norm2.weight", "post_attention_layernorm.weight"},
    {"mlp.w1", "mlp.gate_proj.weight"},
    {"mlp.w3", "mlp.up_proj.weight"},
    {"mlp.w2", "mlp.down_proj.weight"},
    {"moe.shared.w1", "mlp_share.gate_proj.weight"},
    {"moe.shared.w3", "mlp_share.up_proj.weight"},
    {"moe.shared.w2", "mlp_share.down_proj.weight"},
    {"moe.router.proj.weight", "block_sparse_moe.weight1"},
};

constexpr std::string_view kLayers = "layers.", kExperts = "moe.experts.", kCell = "router_cell.";
constexpr std::string_view kHead = "moe.router.head.weight";

class Views {
 public:
  explicit Views(const RouterConfig& router) {
    if (const auto spec = router_spec(router.name); spec && spec->cell) gates_ = spec->cell->gates;
  }

  void add(std::string_view ours, const Tensor& value) {
    if (ours.starts_with(kCell)) return add_gates(ours.substr(kCell.size()), value);
    if (!ours.starts_with(kLayers)) return add_renamed("", kOfModel, ours, value);
    const size_t rest = ours.find('.', kLayers.size()) + 1;
    const std::string layer = concat("model.", ours.substr(0, rest));
    ours.remove_prefix(rest);
    if (ours == kHead)
      return push(concat(layer, "block_sparse_moe.", gates_ > 0 ? "weight2" : "gate.weight"), value);
    if (ours.starts_with(kExperts)) return add_experts(layer, ours.substr(kExperts.size()), value);
    add_renamed(layer, kOfLayer, ours, value);
  }

  std::vector<NamedTensor> list;

 private:
  void push(std::string name, const Tensor& view) { list.push_back({std::move(name), view}); }

  void add_renamed(const std::string& before, std::span<const Rename> renames, std::string_view ours,
                   const Tensor& value) {
    const auto found = std::ranges::find(renames, ours, &Rename::ours);
    RMOE_CHECK(found != renames.end(), "parameter ", before, ours, " has no name at Hugging Face");
    push(concat(before, found->theirs), value);
  }

  /// w1 [E,F,C] -> experts.{e}.w1.weight [F,C]
  void add_experts(const std::string& layer, std::string_view matrix, const Tensor& value) {
    for (int64_t e = 0; e < value.dim(0); ++e)
      push(concat(layer, "block_sparse_moe.experts.", e, ".", matrix, ".weight"),
           value.rows(e, 1).reshape({value.dim(1), value.dim(2)}));
  }

  /// weight_ih [3P,I] -> weight_ir, weight_iz, weight_in [P,I] of a GRU; an RNN has the last alone.
  void add_gates(std::string_view ours, const Tensor& value) {
    const std::string_view letters = gates_ == 3 ? "rzn" : "n";
    RMOE_CHECK(gates_ == int64_t(letters.size()), "a router cell of ", gates_,
               " gates has no names at Hugging Face");
    const int64_t P = value.dim(0) / gates_;
    ours.remove_suffix(1);  // weight_i(h), bias_h(h)
    for (int64_t g = 0; g < gates_; ++g)
      push(concat("model.rnn_router.", ours, letters[size_t(g)]), value.rows(g * P, P));
  }

  int64_t gates_ = 0;  // of the model's router cell
};

}  // namespace

std::vector<NamedTensor> hugging_face_views(const Model& model) {
  Views views(model.router());
  for (const Parameter& p : model.parameters()) views.add(p.name, p.var.value());
  return std::move(views.list);
}

}  // namespace rmoe::interchange
