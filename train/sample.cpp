#include "train/sample.hpp"

#include "engine/random.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rmoe {
namespace {

/// A model that has read a prefix and says what may come next. `lm` carries its memory from token to token,
/// which gives exactly the attention of training; a model without memory reads the whole text again.
class Reader {
 public:
  explicit Reader(const Model& model) : model_(model), memory_(model.initial_memory(1)) {}

  /// Logits [V] after the last of `tokens`.
  Tensor read(const std::vector<int32_t>& tokens) {
    const NoGrad guard;
    if (memory_.empty()) {
      text_.insert(text_.end(), tokens.begin(), tokens.end());
      return last_row(model_(from_vector(text_, {1, int64_t(text_.size())}), memory_, {}));
    }
    Tensor logits;
    for (int32_t token : tokens) {
      ModelOutput output = model_(from_vector(std::vector{token}, {1, 1}), memory_, {});
      memory_ = std::move(output.memory);
      logits = last_row(output);
    }
    return logits;
  }

 private:
  static Tensor last_row(const ModelOutput& output) {
    const Tensor h = output.hidden.value();  // [1,T,C]
    return output.head(Var(h.reshape({h.dim(1), h.dim(2)}).rows(h.dim(1) - 1, 1))).value();
  }

  const Model& model_;
  Memory memory_;
  std::vector<int32_t> text_;
};

/// Draws from softmax(logits / temperature) over the top_k likeliest; u is uniform in [0, 1).
int32_t choose(const Tensor& logits, const SampleOptions& options, double u) {
  const auto z = logits.span<float>();
  std::vector<int32_t> order(z.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return z[a] > z[b]; });
  if (options.temperature == 0) return order[0];
  if (options.top_k > 0) order.resize(std::min<size_t>(order.size(), options.top_k));
  std::vector<double> weight;
  for (int32_t token : order)
    weight.push_back(std::exp((double(z[token]) - z[order[0]]) / options.temperature));
  double left = u * std::accumulate(weight.begin(), weight.end(), 0.0);
  for (size_t i = 0; i < order.size(); ++i)
    if ((left -= weight[i]) < 0) return order[i];
  return order.back();
}

}  // namespace

void sample(const Model& model, const std::vector<int32_t>& prompt, const SampleOptions& options,
            const std::function<bool(int32_t)>& emit) {
  RMOE_CHECK(!prompt.empty(), "sample: the prompt is empty; give at least one character");
  Reader reader(model);
  Tensor logits = reader.read(prompt);
  for (int64_t i = 0; i < options.tokens; ++i) {
    const int32_t token = choose(logits, options, uniform_at(options.seed, hash("sample"), i));
    if (!emit(token)) return;
    if (i + 1 < options.tokens) logits = reader.read({token});
  }
}

}  // namespace rmoe
