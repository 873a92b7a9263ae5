#pragma once

#include "autograd/tape.hpp"

namespace rmoe {

// y_ne = (f_n . v_e) r_n s_e / tau,  r_n = 1 / max(|f_n|, 1e-8),  s_e = 1 / max(|v_e|, 1e-8)
// features f [N,P], embeddings v [E,P], temperature tau [1] -> y [N,E]
// Chi et al. 2022 (X-MoE); the clamp of torch.nn.functional.cosine_similarity.
// Backward keeps features, embeddings, temperature, y, r and s; norms are fp32 at least.
Var cosine_head(const Var& features, const Var& embeddings, const Var& temperature);

}  // namespace rmoe
