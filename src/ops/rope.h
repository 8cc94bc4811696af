// Rotary position embedding.
#pragma once

#include "ops/types.h"

namespace r1::ops {

enum class RopeStyle : std::uint8_t {
  kHalf,         // pairs (i, i + D/2): Llama, Qwen
  kInterleaved,  // pairs (2i, 2i + 1): DeepSeek
};
enum class RopeDirection : std::uint8_t { kForward, kBackward };  // backward rotates by the negative angle

/// Rotates the first num_heads heads of each row by the angle of its position.
///
/// x             [num_tokens, >= num_heads * head_dim] f32, rows may have a stride; rotated in place
/// position_ids  [num_tokens] i32
/// cos, sin      [max_position, rotary_dim / 2] f32; rotary_dim = 2 * cos.dim(1) <= head_dim: the head's first elements
/// Throws Error(kShape). A position outside the table is checked where batches are built.
/// Source: Su et al. 2021, arXiv 2104.09864. Runs on: reference, cpu, cuda.
void rope(const ExecContext& ctx, Tensor& x, const Tensor& position_ids, const Tensor& cos, const Tensor& sin, int num_heads, int head_dim,
          RopeStyle style, RopeDirection direction);

}  // namespace r1::ops
