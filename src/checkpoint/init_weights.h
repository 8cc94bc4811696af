// Random start values for a model that is trained from scratch.
#pragma once

#include <cstdint>
#include <optional>

#include "models/causal_lm.h"
#include "parallel/parameter_store.h"

namespace r1::checkpoint {

enum class InitScheme {
  kNormal,  // every matrix normal with std = initializer_range of config.json (0.02 when absent)
  kScaled,  // std = 0.7 / sqrt(fan_in); o_proj and down_proj further × 1 / sqrt(2 L); embeddings embedding_std
};

struct InitOptions {
  InitScheme scheme = InitScheme::kNormal;
  double embedding_std = 0.1;
  std::uint64_t seed = 42;
};

/// Norm weights 1, biases 0, matrices normal. A value depends on (seed, parameter name, index) alone.
void init_weights(models::CausalLM& model, parallel::ParameterStore& store, const InitOptions& options);

}  // namespace r1::checkpoint
