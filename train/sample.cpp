#include "train/sample.hpp"

#include "engine/random.hpp"
#include "models/decoder.hpp"

namespace rmoe {

void sample(const Model& model, const std::vector<int32_t>& prompt, const SampleOptions& options,
            const std::function<bool(int32_t)>& emit) {
  RMOE_CHECK(!prompt.empty(), "sample: the prompt is empty; give at least one character");
  const Decoder decoder(model);
  Decoder::Sequence text = decoder.start();
  Tensor logits = decoder.read(text, prompt);  // [1,V]
  for (int64_t i = 0; i < options.tokens; ++i) {
    const int32_t token =
        choose_token(logits.span<float>(), options.choice, uniform_at(options.seed, hash("sample"), i));
    if (!emit(token)) return;
    if (i + 1 < options.tokens) logits = decoder.read(text, {&token, 1});
  }
}

}  // namespace rmoe
