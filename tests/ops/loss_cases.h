// Cases of the head: linear_cross_entropy, selected_log_probs, log_probs_of_logits.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

struct LossCase {
  std::int64_t T, H, V;
  int ignored_every;  // every n-th label is ignored; 0 = none
  float temperature;
  std::uint64_t seed;
};

inline const std::vector<LossCase> kLossCases = {
    {1, 3, 2, 0, 1.0F, 1},     {5, 17, 37, 0, 1.0F, 2},    {33, 16, 264, 3, 0.7F, 3},
    {7, 21, 1025, 2, 1.3F, 4}, {70, 40, 2100, 0, 1.0F, 5}, {41, 9, 3000, 4, 0.5F, 6},
};

// f32 logits of spread H^0.5 and exp to 1 ulp; log-probs are rounded once from double.
inline constexpr double kLossTolerance = 3e-6;
// Gradients are chains over up to 3,000 ids or 70 rows.
inline constexpr double kLossGradTolerance = 2e-5;

}  // namespace r1::test
