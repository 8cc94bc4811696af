// How paged attention on CUDA divides a context among blocks. No library header: kernels include it.
#pragma once

namespace r1::ops::kernels {

/// A block goes through its positions in steps of 64, one after another, and a few sequences have few blocks: short contexts are cut
/// finely. Long ones have blocks enough, and each split costs a result to write and to merge. It depends on the context alone, so that a
/// row does not depend on the batch.
constexpr int positions_per_split(int context) { return context <= 512 ? 64 : context <= 2048 ? 128 : context <= 8192 ? 256 : 512; }

constexpr int splits_of(int context) { return (context + positions_per_split(context) - 1) / positions_per_split(context); }

/// Of any context up to `capacity`; at least 1.
constexpr int most_splits(int capacity) {
  int most = capacity > 0 ? splits_of(capacity) : 1;
  constexpr int kBorders[] = {512, 2048, 8192};
  for (const int border : kBorders) {
    if (border < capacity && splits_of(border) > most) most = splits_of(border);
  }
  return most;
}

/// What the splits' results of one launch may take; more tokens take several launches.
constexpr long long kPartialBytes = 256LL << 20;

constexpr long long tokens_per_launch(int num_heads, int num_splits, int head_dim) {
  const long long bytes = 4LL * num_heads * num_splits * (head_dim + 2), tokens = kPartialBytes / bytes;
  return tokens > 1 ? tokens : 1;
}

}  // namespace r1::ops::kernels
