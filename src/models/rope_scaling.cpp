#include "models/rope_scaling.h"

#include <numbers>

#include "nn/rotary.h"

namespace r1::models {

std::vector<float> rope_inv_freq(const ModelConfig& config) {
  std::vector<float> inv_freq = nn::default_inv_freq(config.rope_theta, config.head_dim);
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.rope_type == "default") return inv_freq;
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  const double longest_kept = original / scaling.high_freq_factor;    // wavelengths below stay
  const double shortest_scaled = original / scaling.low_freq_factor;  // wavelengths above are divided by factor
  for (float& frequency : inv_freq) {
    const double wavelength = 2 * std::numbers::pi / static_cast<double>(frequency);
    if (wavelength < longest_kept) continue;
    const double scaled = static_cast<double>(frequency) / scaling.factor;
    if (wavelength > shortest_scaled) {
      frequency = static_cast<float>(scaled);
    } else {
      const double smooth = (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
      frequency = static_cast<float>((1 - smooth) * scaled + smooth * static_cast<double>(frequency));
    }
  }
  return inv_freq;
}

}  // namespace r1::models
