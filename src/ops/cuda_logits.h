// How many rows' logits exist at a time on CUDA: what the ops take and what a plan counts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace r1::ops {

/// Of f32 logits, where no other number is given: with a vocabulary of 152 k some two thousand rows, for which the products fill the device
/// and the gradient of the weight is seldom read and written.
inline constexpr std::int64_t kCudaLogitsBytes = std::int64_t{1280} << 20;

/// Chunks of rows of about the same size, whole tiles of products where there is room for them; at least one row.
inline std::int64_t cuda_rows_of_logits(std::int64_t num_rows, std::int64_t vocab_size, std::size_t workspace_bytes) {
  constexpr std::int64_t kTile = 128;
  const std::int64_t bytes = workspace_bytes > 0 ? static_cast<std::int64_t>(workspace_bytes) : kCudaLogitsBytes;
  const std::int64_t most = std::max<std::int64_t>(1, bytes / (4 * std::max<std::int64_t>(1, vocab_size)));
  if (num_rows <= most) return std::max<std::int64_t>(1, num_rows);
  if (most < kTile) return most;
  const std::int64_t whole = most / kTile * kTile, num_chunks = (num_rows + whole - 1) / whole;
  return (num_rows + num_chunks * kTile - 1) / (num_chunks * kTile) * kTile;
}

}  // namespace r1::ops
