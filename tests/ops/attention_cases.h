// Cases of attention and attention_backward.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::test {

struct AttentionCase {
  int num_attention_heads, num_key_value_heads, head_dim;
  std::vector<std::int32_t> lengths;  // of the packed sequences
  double spread;                      // of q and k: 3 gives peaked softmaxes
};

inline const std::vector<AttentionCase> kAttentionCases = {
    {1, 1, 1, {1}, 1.0},          {2, 1, 16, {5, 1, 23, 17}, 1.0}, {4, 2, 16, {64}, 1.0},      {4, 2, 32, {65, 3}, 3.0},
    {3, 3, 24, {33, 64, 1}, 1.0}, {6, 2, 20, {130, 0, 31}, 1.0},   {8, 2, 64, {70, 128}, 1.0}, {4, 4, 64, {127}, 3.0},
    {7, 1, 128, {66}, 1.0},       {2, 2, 80, {200}, 1.0},          {14, 2, 64, {34, 70}, 1.0},
};

// f32: scores err by D roundings of about 1e-7 |q||k|, which exp turns into relative errors of the probabilities; they grow
// with the square of the spread.
inline double attention_tolerance(const AttentionCase& c) { return 4e-6 * c.spread * c.spread; }
// The gradients add up to 200 terms of that kind.
inline double attention_grad_tolerance(const AttentionCase& c) { return 3e-5 * c.spread * c.spread; }

}  // namespace r1::test
