// How many sequences of a packed batch one of cuDNN's attention graphs takes at a time.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace r1::ops::cuda {

/// A deterministic backward pass keeps the gradients of all scores: 2 bytes × sequences × query heads × longest². Groups of sequences,
/// one after another, keep that within this, where one sequence does.
inline constexpr std::int64_t kSdpaGroupBytes = std::int64_t{2} << 30;
/// What one sequence may take (16,384 tokens with 32 heads); longer ones go to our own kernels, which keep no scores.
inline constexpr std::int64_t kSdpaLargestBytes = std::int64_t{16} << 30;

struct SdpaGroups {
  std::int64_t longest = 0;         // rounded up by at most an eighth: a training run has a few shapes
  std::vector<std::int64_t> sizes;  // sequences of each graph, run one after another: descending powers of two, so that none is empty
  std::int64_t score_bytes = 0;     // of the largest graph's backward pass
};

inline SdpaGroups sdpa_groups(std::int64_t num_sequences, std::int64_t longest, std::int64_t num_heads, bool is_backward) {
  const auto power = [](std::int64_t value) { return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(value))); };
  SdpaGroups groups;
  const std::int64_t step = std::max<std::int64_t>(128, power(std::max<std::int64_t>(1, longest)) / 8);
  groups.longest = (std::max<std::int64_t>(1, longest) + step - 1) / step * step;
  const std::int64_t bytes_each = is_backward ? 2 * num_heads * groups.longest * groups.longest : 0;
  for (std::int64_t left = num_sequences; left > 0; left -= groups.sizes.back()) {
    auto size = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(left)));
    while (size > 1 && size * bytes_each > kSdpaGroupBytes) size /= 2;
    groups.sizes.push_back(size);
    groups.score_bytes = std::max(groups.score_bytes, size * bytes_each);
  }
  return groups;
}

}  // namespace r1::ops::cuda
