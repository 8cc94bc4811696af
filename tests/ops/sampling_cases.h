// Rows of sample and sampling_probabilities: one setting each.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "ops/sampling.h"
#include "tensor/dtype.h"

namespace r1::test {

inline const std::vector<ops::SamplingSettings> kRowSettings = {
    {},
    {.temperature = 0},
    {.temperature = 0, .repetition_penalty = 3},
    {.temperature = 0.6F, .top_p = 0.95F},
    {.temperature = 1.3F, .top_k = 5},
    {.top_k = 1},
    {.top_p = 0.3F},
    {.top_p = 1e-6F},
    {.min_p = 0.2F},
    {.temperature = 0.7F, .top_k = 20, .top_p = 0.8F, .min_p = 0.05F, .repetition_penalty = 1.3F},
    {.top_k = 100000},
    {.top_p = 0.999F, .repetition_penalty = 0.8F},
};

// Log-probs of f32 logits are rounded once; probabilities are quotients of f32 exponentials.
inline constexpr double kLogProbTolerance = 3e-6, kProbabilityTolerance = 1e-6;

/// Logits (given as standard normal numbers times 2), seen ids and uniforms of the rows.
struct SamplingData {
  SamplingData(std::int64_t vocab_size, std::vector<float> values, DType dtype, std::uint64_t seed)
      : V(vocab_size), logits(std::move(values)) {
    if (dtype == DType::kBF16) {
      for (float& value : logits) value = bf16_to_f32(f32_to_bf16(value));
    }
    // Coarse values make ties at the borders of top_k and top_p.
    for (std::size_t i = 0; i < logits.size(); i += 3) logits[i] = std::round(logits[i] * 2.0F) / 2.0F;
    RandomStream random(seed, "sampling");
    for (std::size_t r = 0; r < kRowSettings.size(); ++r) {
      for (std::uint64_t n = random.below(9); n > 0; --n)
        seen.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(V))));
      if (!seen.empty()) seen.push_back(seen.back());  // repeated ids count once
      offsets.push_back(static_cast<std::int32_t>(seen.size()));
      uniforms.push_back(static_cast<float>(random.next_u32() >> 8) * 0x1p-24F);
    }
    uniforms.front() = 0;
    uniforms[4] = 1 - 0x1p-24F;
  }
  std::int64_t V;
  std::vector<float> logits, uniforms;
  std::vector<std::int32_t> seen, offsets = {0};
};

}  // namespace r1::test
