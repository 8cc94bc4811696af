// The rotary frequencies of a model.
#pragma once

#include <vector>

#include "models/model_config.h"

namespace r1::models {

/// [head_dim / 2] frequencies: theta^(-2i / head_dim), for rope type llama3 scaled by wavelength: long ones divided by factor,
/// short ones kept, those between original_max_position / high_freq_factor and / low_freq_factor blended.
/// Source: transformers 4.43, modeling_rope_utils (llama3).
std::vector<float> rope_inv_freq(const ModelConfig& config);

}  // namespace r1::models
