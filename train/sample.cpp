#include "train/sample.hpp"

#include "engine/random.hpp"
#include "models/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rmoe {

int32_t choose_token(std::span<const float> logits, const SampleOptions& options, double u) {
  const auto likelier = [&](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const bool all = options.top_k == 0 || options.top_k > int64_t(order.size());
  const size_t kept = options.temperature == 0 ? 1 : all ? order.size() : size_t(options.top_k);
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), likelier);
  order.resize(kept);
  std::vector<double> weight;
  for (int32_t token : order)
    weight.push_back(std::exp((double(logits[token]) - logits[order[0]]) / options.temperature));
  double left = u * std::accumulate(weight.begin(), weight.end(), 0.0);
  for (size_t i = 0; i < order.size(); ++i)
    if ((left -= weight[i]) < 0) return order[i];
  return order.back();
}

void sample(const Model& model, const std::vector<int32_t>& prompt, const SampleOptions& options,
            const std::function<bool(int32_t)>& emit) {
  RMOE_CHECK(!prompt.empty(), "sample: the prompt is empty; give at least one character");
  const Decoder decoder(model);
  Decoder::Sequence text = decoder.start();
  Tensor logits = decoder.read(text, prompt);  // [1,V]
  for (int64_t i = 0; i < options.tokens; ++i) {
    const int32_t token =
        choose_token(logits.span<float>(), options, uniform_at(options.seed, hash("sample"), i));
    if (!emit(token)) return;
    if (i + 1 < options.tokens) logits = decoder.read(text, {&token, 1});
  }
}

}  // namespace rmoe
