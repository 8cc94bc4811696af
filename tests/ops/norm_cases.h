// Cases of rms_norm, add_rms_norm and rms_norm_backward.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

struct NormCase {
  std::int64_t num_rows, hidden_size;
  float eps;
  double spread;
  std::uint64_t seed;
};

inline const std::vector<NormCase> kNormCases = {
    {1, 1, 1e-6F, 1.0, 1},   {1, 16, 1e-6F, 1.0, 2},   {3, 17, 1e-5F, 100.0, 3}, {7, 63, 1e-6F, 0.01, 4},
    {33, 96, 1e-6F, 1.0, 5}, {5, 1000, 1e-6F, 1.0, 6}, {64, 512, 1e-6F, 1.0, 7}, {40, 1536, 1e-6F, 30.0, 8},
};

// f32: a sum of H squares in 16 chains errs by about H / 16 half-ulps in the worst case, 4 ulps at these sizes.
inline constexpr double kNormTolerance = 1e-6;
// grad_weight is one chain over the rows: its error grows with their number (64) and the terms' size.
inline constexpr double kNormGradTolerance = 1e-5;

}  // namespace r1::test
