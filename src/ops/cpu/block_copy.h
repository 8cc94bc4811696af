// Dense copies of up to 64 strided rows, padded with zeros, as attention's small products want them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

/// to[i][0 … round up(width, 16)) = from[i][0 … width), zeros behind; rows from `count` to `rows` are zero.
inline void copy_block(const float* from, std::int64_t from_step, std::int64_t count, std::int64_t width, float* to, std::int64_t to_step,
                       std::int64_t rows) {
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t d = 0; d < width; d += kLanes) store(to + i * to_step + d, load_first(from + i * from_step + d, width - d, zero()));
  }
  for (std::int64_t i = count; i < rows; ++i) std::fill_n(to + i * to_step, (width + kLanes - 1) / kLanes * kLanes, 0.0F);
}

/// to[i][0 … width) = from[i][0 … width): back into rows that others lie behind.
inline void copy_rows(const float* from, std::int64_t from_step, std::int64_t count, std::int64_t width, float* to, std::int64_t to_step) {
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t d = 0; d < width; d += kLanes) store_first(to + i * to_step + d, load(from + i * from_step + d), width - d);
  }
}

/// to[d][i] = from[i][d] for i < count, d < width; 0 for i from count to `rows`, a multiple of 16.
inline void transpose_block(const float* from, std::int64_t from_step, std::int64_t count, std::int64_t width, float* to,
                            std::int64_t to_step, std::int64_t rows) {
  for (std::int64_t i = 0; i < rows; i += kLanes) {
    for (std::int64_t d = 0; d < width; d += kLanes) {
      Vec tile[kLanes];
      for (std::int64_t j = 0; j < kLanes; ++j) {
        tile[j] = i + j < count ? load_first(from + (i + j) * from_step + d, width - d, zero()) : zero();
      }
      transpose(tile);
      for (std::int64_t j = 0; j < std::min<std::int64_t>(kLanes, width - d); ++j) store(to + (d + j) * to_step + i, tile[j]);
    }
  }
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
