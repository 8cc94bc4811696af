// Tables of cos and sin for rotary position embedding.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/rope.h"
#include "tensor/exec_context.h"

namespace r1::nn {

/// The table has one row a position and grows when a longer batch comes. An angle is the f32 product of position and
/// frequency, as transformers computes it; its cos and sin are taken in double and rounded to f32.
class Rotary {
 public:
  /// inv_freq [rotary_dim / 2]; attention_scaling multiplies cos and sin (yarn; 1 otherwise).
  Rotary(std::vector<float> inv_freq, float attention_scaling, ops::RopeStyle style)
      : inv_freq_(std::move(inv_freq)), attention_scaling_(attention_scaling), style_(style) {}

  /// Makes positions [0, num_positions) available. Not thread-safe.
  void reserve(const ExecContext& ctx, std::int64_t num_positions);

  const Tensor& cos() const { return cos_; }
  const Tensor& sin() const { return sin_; }
  ops::RopeStyle style() const { return style_; }
  const std::vector<float>& inv_freq() const { return inv_freq_; }

 private:
  std::vector<float> inv_freq_;
  float attention_scaling_;
  ops::RopeStyle style_;
  Tensor cos_, sin_;  // [num_positions, rotary_dim / 2] f32
};

/// theta^(-2i / rotary_dim) for i < rotary_dim / 2.
std::vector<float> default_inv_freq(double theta, int rotary_dim);

}  // namespace r1::nn
