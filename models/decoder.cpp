#include "models/decoder.hpp"

#include <set>

namespace rmoe {

Decoder::Sequence Decoder::start() const {
  return {.length = 0, .layers = std::vector<KeptKeys>(size_t(model_.config().layers))};
}

ModelOutput Decoder::forward(std::span<Sequence* const> sequences, std::span<const int64_t> counts,
                             std::span<const int32_t> tokens) const {
  const int64_t N = int64_t(tokens.size());
  const Reading reading{sequences, counts};
  const Tensor inputs = from_vector(std::vector(tokens.begin(), tokens.end()), {1, N});
  ModelOutput output = model_(inputs, {}, {.reading = &reading});
  for (size_t i = 0; i < sequences.size(); ++i) sequences[i]->length += counts[i];
  return output;
}

Tensor Decoder::read(Sequence& sequence, std::span<const int32_t> tokens, bool all) const {
  RMOE_CHECK(!tokens.empty(), "decoder: no tokens to read, wanted at least one");
  const NoGrad guard;
  Sequence* const one[] = {&sequence};
  const int64_t N = int64_t(tokens.size()), counts[] = {N};
  const ModelOutput output = forward(one, counts, tokens);
  const Tensor hidden = output.hidden.value().reshape({N, model_.config().hidden});
  return output.head(Var(all ? hidden : hidden.rows(N - 1, 1))).value();
}

Tensor Decoder::step(std::span<Sequence* const> sequences, std::span<const int32_t> tokens) const {
  const int64_t S = int64_t(sequences.size());
  RMOE_CHECK(S > 0 && tokens.size() == sequences.size(), "decoder: ", tokens.size(), " tokens for ", S,
             " sequences, wanted one for each of at least one");
  RMOE_CHECK(std::set<Sequence*>(sequences.begin(), sequences.end()).size() == sequences.size(),
             "decoder: a sequence is in the step twice");
  const NoGrad guard;
  const std::vector<int64_t> ones(size_t(S), 1);
  const ModelOutput output = forward(sequences, ones, tokens);
  return output.head(Var(output.hidden.value().reshape({S, model_.config().hidden}))).value();
}

}  // namespace rmoe
