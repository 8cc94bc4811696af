// Cases of rope.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/rope.h"

namespace r1::test {

struct RopeCase {
  std::int64_t num_tokens;
  int num_heads, head_dim, rotary_dim;
  std::int64_t spare_columns;  // behind the rotated heads: keys and values of a fused projection
  ops::RopeStyle style;
};

inline const std::vector<RopeCase> kRopeCases = {
    {1, 1, 2, 2, 0, ops::RopeStyle::kHalf},           {5, 3, 64, 64, 7, ops::RopeStyle::kHalf},
    {33, 2, 16, 16, 16, ops::RopeStyle::kHalf},       {9, 2, 24, 20, 1, ops::RopeStyle::kHalf},
    {70, 10, 128, 128, 128, ops::RopeStyle::kHalf},   {5, 2, 16, 16, 3, ops::RopeStyle::kInterleaved},
    {33, 1, 72, 70, 0, ops::RopeStyle::kInterleaved},
};

// f32: two products and a sum, each rounded.
inline constexpr double kRopeTolerance = 5e-7;

}  // namespace r1::test
