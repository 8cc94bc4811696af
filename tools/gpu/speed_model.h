// The model whose steps are measured: Qwen2.5-1.5B's shape with random weights, and rows of token ids.
#pragma once

#include <cstdint>
#include <string>

#include "tools/gpu/child.h"

namespace r1::gpu {

struct SpeedModel {
  std::int64_t hidden_size, intermediate_size, num_layers, num_heads, num_key_value_heads, vocab_size, length;
  std::int64_t head_dim() const { return hidden_size / num_heads; }
  std::int64_t parameters() const;
  /// Forward and backward of one token: 6 per parameter (the tied embedding once, as the head), and causal attention over `length`.
  double training_flops_per_token() const;
};

/// quick: a few hundred thousand parameters.
SpeedModel speed_model(bool quick);

/// Where they lie below places.work.
std::string speed_model_folder(const Places& places);
/// `batch` rows of the model's length: a training step takes all of them, in whatever order.
std::string speed_rows(const Places& places, std::int64_t batch);
/// Largest batch of a training step.
inline std::int64_t speed_batch(bool quick) { return quick ? 2 : 4; }

/// Makes model and rows once; later calls find them.
void make_speed_inputs(const Places& places, bool quick);

}  // namespace r1::gpu
