// The chain of one attention row over its key blocks, for several rows that share the blocks. attention() and
// paged_attention() both run this, so a row has the same bits in training, prefill and decode.
// Hq query heads, Hkv key/value heads, D head_dim, Dp = D rounded up to 16; a row is one (token, query head).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "ops/cpu/product_tile.h"
#include "ops/cpu/rows.h"

namespace r1::ops::R1_CPU_NAMESPACE {

inline constexpr int kKeyBlock = 64;                    // absolute positions of one update
inline constexpr int kKeyVectors = kKeyBlock / kLanes;  // vectors of scores in a block

inline std::int64_t padded_head_dim(std::int64_t head_dim) { return (head_dim + kLanes - 1) / kLanes * kLanes; }

/// Where the 64 positions of a block lie: for each 16 of them a [D, key_step] piece of keys (16 positions innermost) and a
/// [16, Dp] piece of values. Pieces beyond the last position in use may be anything.
struct KeyBlock {
  const float* keys[kKeyVectors];
  const float* values[kKeyVectors];
  std::int64_t key_step = 0;
};

/// Maximum, sum and unnormalised output of rows in progress; query and accumulator rows are contiguous.
struct RowStates {
  const float* queries = nullptr;  // [rows, query_step]
  std::int64_t query_step = 0;
  float* maxima = nullptr;        // [rows], -infinity at first
  float* sums = nullptr;          // [rows], 0 at first
  float* accumulators = nullptr;  // [rows, Dp], 0 at first
};

/// Rows whose scores are held at a time: enough to hide the latencies of a row's maximum and sum behind the other rows.
inline constexpr int kScoreRows = 4 * kTileRows;

/// Scores of some rows with one block, then probabilities in their place.
struct BlockScores {
  alignas(64) float values[kScoreRows][kKeyBlock];
  alignas(64) float factors[kScoreRows + kLanes];  // exp(old maximum - new maximum)
  int counts[kScoreRows];                          // positions that the row sees, 1 … 64, ascending
  int num_rows = 0;
};

/// scores[row] = q · k, unscaled, for the 16-position pieces that the tile's last row sees.
template <int R>
inline void score_tile(const RowStates& rows, std::int64_t first_row, int row, const KeyBlock& block, std::int64_t D, BlockScores& scores) {
  const int num_vectors = (scores.counts[row + R - 1] + kLanes - 1) / kLanes;
  const float* queries = rows.queries + (first_row + row) * rows.query_step;
  for_each_column_group(
      num_vectors, [&]<int C>(int column) __attribute__((always_inline)) {
        Vec sums[R][C];
        const float* keys[C];
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) keys[c] = block.keys[column + c];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) sums[r][c] = zero();
        }
        product_tile<R, C>(queries, rows.query_step, 1, keys, block.key_step, D, sums);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) store(&scores.values[row + r][(column + c) * kLanes], sums[r][c]);
        }
      });
}

/// p = exp(score - new maximum) for the positions that a row sees, 0 for the others; updates maxima and sums.
template <bool kWhole>  // all rows see all 64 positions
inline void update_softmax(BlockScores& scores, float scale, float* maxima, float* sums) {
  alignas(64) static constexpr float kLaneIndex[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const Vec lane_index = load(kLaneIndex);
  const Vec minus_infinity = broadcast(-std::numeric_limits<float>::infinity());
  const Vec scale_vector = broadcast(scale);
  alignas(64) float shifts[kScoreRows + kLanes];
  alignas(64) float block_sums[kScoreRows + kLanes];
  const int n = scores.num_rows;
  for (int r = 0; r < n; ++r) {
    float* row = scores.values[r];
    Vec score[kKeyVectors];
#pragma GCC unroll 4
    for (int c = 0; c < kKeyVectors; ++c) {
      score[c] = mul(load(row + c * kLanes), scale_vector);
      if constexpr (!kWhole) {
        score[c] = select_less(lane_index, broadcast(static_cast<float>(scores.counts[r] - c * kLanes)), score[c], minus_infinity);
      }
      store(row + c * kLanes, score[c]);
    }
    const float maximum = std::max(maxima[r], reduce_max(max(max(score[0], score[1]), max(score[2], score[3]))));
    shifts[r] = maxima[r] - maximum;
    maxima[r] = maximum;
  }
  for (int r = 0; r < n; ++r) {
    float* row = scores.values[r];
    const Vec maximum = broadcast(maxima[r]);
    Vec p[kKeyVectors];
#pragma GCC unroll 4
    for (int c = 0; c < kKeyVectors; ++c) {
      p[c] = exp(sub(load(row + c * kLanes), maximum));
      store(row + c * kLanes, p[c]);
    }
    block_sums[r] = reduce_add(add(add(p[0], p[1]), add(p[2], p[3])));
  }
  for (int r = 0; r < n; r += kLanes) {
    const Vec factor = exp(load_first(shifts + r, n - r, zero()));
    store(scores.factors + r, factor);
    store_first(sums + r, fma(load_first(sums + r, n - r, zero()), factor, load_first(block_sums + r, n - r, zero())), n - r);
  }
}

/// accumulators = accumulators * factor + p v, positions ascending; each row stops at the last one that it sees.
template <int R>
inline void value_tile(const RowStates& rows, std::int64_t first_row, int row, const KeyBlock& block, std::int64_t Dp,
                       const BlockScores& scores) {
  const int shared_count = scores.counts[row];
  for_each_column_group(
      static_cast<int>(Dp / kLanes), [&]<int C>(int column) __attribute__((always_inline)) {
        float* tile = rows.accumulators + (first_row + row) * Dp + column * kLanes;
        Vec sums[R][C];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const Vec factor = broadcast(scores.factors[row + r]);
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) sums[r][c] = mul(load(tile + r * Dp + c * kLanes), factor);
        }
        for (int piece = 0; piece * kLanes < shared_count; ++piece) {
          const float* values[C];
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) values[c] = block.values[piece] + (column + c) * kLanes;
          product_tile<R, C>(&scores.values[row][piece * kLanes], kKeyBlock, 1, values, Dp, std::min(kLanes, shared_count - piece * kLanes),
                             sums);
        }
    // Rows of later tokens see a few more positions of their own block.
#pragma GCC unroll 8
        for (int r = 1; r < R; ++r) {
          for (int j = shared_count; j < scores.counts[row + r]; ++j) {
            const Vec p = broadcast(scores.values[row + r][j]);
            const float* value = block.values[j / kLanes] + (j % kLanes) * Dp + column * kLanes;
#pragma GCC unroll 8
            for (int c = 0; c < C; ++c) sums[r][c] = fma(p, load(value + c * kLanes), sums[r][c]);
          }
        }
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
          for (int c = 0; c < C; ++c) store(tile + r * Dp + c * kLanes, sums[r][c]);
        }
      });
}

/// One block for the rows of consecutive tokens, `group` query heads each: row = token * group + head of the group. Token i
/// sees first_count + i positions of the block (none when that is not positive, at most 64).
inline void attend_block(const RowStates& rows, std::int64_t num_tokens, int group, std::int64_t first_count, const KeyBlock& block,
                         std::int64_t D, float scale) {
  BlockScores scores;
  const std::int64_t end = num_tokens * group;
  for (std::int64_t first = std::max<std::int64_t>(0, 1 - first_count) * group; first < end; first += kScoreRows) {
    scores.num_rows = static_cast<int>(std::min<std::int64_t>(kScoreRows, end - first));
    for (int r = 0; r < scores.num_rows; ++r) {
      scores.counts[r] = static_cast<int>(std::min<std::int64_t>(kKeyBlock, first_count + (first + r) / group));
    }
    for_each_row_group(0, scores.num_rows,
                       [&]<int R>(std::int64_t row) { score_tile<R>(rows, first, static_cast<int>(row), block, D, scores); });
    if (scores.counts[0] == kKeyBlock) {
      update_softmax<true>(scores, scale, rows.maxima + first, rows.sums + first);
    } else {
      update_softmax<false>(scores, scale, rows.maxima + first, rows.sums + first);
    }
    for_each_row_group(0, scores.num_rows, [&]<int R>(std::int64_t row) {
      value_tile<R>(rows, first, static_cast<int>(row), block, padded_head_dim(D), scores);
    });
  }
}

/// Number of floats of scratch that attend_tokens needs.
inline std::int64_t attend_scratch(std::int64_t num_tokens, int group, std::int64_t D) {
  return num_tokens * group * (2 * padded_head_dim(D) + 2 * kLanes);
}

/// Attention of consecutive tokens at absolute positions first_position, first_position + 1, … of one sequence, for the query
/// heads of one key/value head. q, out: the first token's first head of the group; heads are D apart, tokens q_step, out_step.
/// lse: log of the sum of exp(scores) per row, or null. block_at(b) gives the KeyBlock of positions [64 b, 64 b + 64).
template <typename BlockAt>
inline void attend_tokens(const float* q, std::int64_t q_step, std::int64_t num_tokens, int group, std::int64_t first_position,
                          std::int64_t D, float scale, BlockAt&& block_at, float* scratch, float* out, std::int64_t out_step, float* lse,
                          std::int64_t lse_step) {
  const std::int64_t Dp = padded_head_dim(D);
  const std::int64_t num_rows = num_tokens * group;
  float* queries = scratch;
  RowStates rows{.queries = queries,
                 .query_step = Dp,
                 .maxima = scratch + 2 * num_rows * Dp,
                 .sums = scratch + 2 * num_rows * Dp + num_rows,
                 .accumulators = scratch + num_rows * Dp};
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    for (int head = 0; head < group; ++head) std::copy_n(q + t * q_step + head * D, D, queries + (t * group + head) * Dp);
  }
  std::fill_n(rows.accumulators, num_rows * Dp, 0.0F);
  std::fill_n(rows.maxima, num_rows, -std::numeric_limits<float>::infinity());
  std::fill_n(rows.sums, num_rows, 0.0F);

  const std::int64_t num_blocks = (first_position + num_tokens + kKeyBlock - 1) / kKeyBlock;
  for (std::int64_t b = 0; b < num_blocks; ++b) {
    attend_block(rows, num_tokens, group, first_position + 1 - b * kKeyBlock, block_at(b), D, scale);
  }

  for (std::int64_t row = 0; row < num_rows; ++row) {
    const std::int64_t t = row / group;
    const std::int64_t head = row % group;
    const Vec inverse = broadcast(1.0F / rows.sums[row]);
    const float* accumulator = rows.accumulators + row * Dp;
    float* result = out + t * out_step + head * D;
    for_each_vec(D, [&](std::int64_t i, auto io) { io.store(result + i, mul(load(accumulator + i), inverse)); });
    if (lse != nullptr) lse[t * lse_step + head] = rows.maxima[row] + static_cast<float>(log(double{rows.sums[row]}));
  }
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
