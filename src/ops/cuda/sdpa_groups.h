// How many sequences of a packed batch one of cuDNN's attention graphs takes at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace r1::ops::cuda {

/// A deterministic backward pass keeps the gradients of all scores: 2 bytes × sequences × query heads × longest². Groups of sequences,
/// one after another, keep that within this, where one sequence does.
inline constexpr std::int64_t kSdpaGroupBytes = std::int64_t{2} << 30;
/// What one sequence may take; longer ones go to our own kernels, which keep no scores.
inline constexpr std::int64_t kSdpaLargestBytes = std::int64_t{8} << 30;

struct SdpaGroups {
  std::int64_t longest = 0;      // rounded up by at most an eighth: a training run has a few shapes
  std::int64_t sequences = 0;    // of one graph, a power of two
  std::int64_t count = 0;        // graphs run one after another
  std::int64_t score_bytes = 0;  // of one graph's backward pass
  std::int64_t padded() const { return sequences * count; }
};

inline SdpaGroups sdpa_groups(std::int64_t num_sequences, std::int64_t longest, std::int64_t num_heads, bool is_backward) {
  const auto power = [](std::int64_t value) { return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(value))); };
  SdpaGroups groups;
  const std::int64_t step = std::max<std::int64_t>(128, power(std::max<std::int64_t>(1, longest)) / 8);
  groups.longest = (std::max<std::int64_t>(1, longest) + step - 1) / step * step;
  groups.sequences = power(std::max<std::int64_t>(1, num_sequences));
  const std::int64_t bytes_each = 2 * num_heads * groups.longest * groups.longest;
  while (is_backward && groups.sequences > 1 && groups.sequences * bytes_each > kSdpaGroupBytes) groups.sequences /= 2;
  groups.count = (num_sequences + groups.sequences - 1) / groups.sequences;
  groups.score_bytes = is_backward ? groups.sequences * bytes_each : 0;
  return groups;
}

}  // namespace r1::ops::cuda
