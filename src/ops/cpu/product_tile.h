// The register tile behind attention's small matrix products: R rows times C vectors of columns, one FMA chain an element.
#pragma once

#include <cstdint>

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

// What fits into the registers with the operands beside it: 32 vectors of 16 lanes, or 16 of 8 (a Vec is two of them).
#if defined(R1_CPU_avx512)
inline constexpr int kTileRows = 6;
inline constexpr int kTileColumns = 4;
#else
inline constexpr int kTileRows = 6;
inline constexpr int kTileColumns = 1;
#endif

/// sums[r][c] += a[r * row_step + k * step] * b[c][k * b_step + lane] for k = 0 … count - 1 in order, one FMA each.
template <int R, int C>
R1_INLINE void product_tile(const float* a, std::int64_t row_step, std::int64_t step, const float* const (&b)[C], std::int64_t b_step,
                            std::int64_t count, Vec (&sums)[R][C]) {
  for (std::int64_t k = 0; k < count; ++k) {
    Vec columns[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) columns[c] = load(b[c] + k * b_step);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec factor = broadcast(a[r * row_step + k * step]);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) sums[r][c] = fma(factor, columns[c], sums[r][c]);
    }
  }
}

/// Calls body.template operator()<C>(first) for groups of C <= kTileColumns vectors that cover [0, num_vectors).
template <typename Body>
R1_INLINE void for_each_column_group(int num_vectors, Body&& body) {
  int first = 0;
  for (; first + kTileColumns <= num_vectors; first += kTileColumns) body.template operator()<kTileColumns>(first);
  if constexpr (kTileColumns > 1) {
    switch (num_vectors - first) {
      case 1:
        body.template operator()<1>(first);
        break;
      case 2:
        body.template operator()<2>(first);
        break;
      case 3:
        body.template operator()<3>(first);
        break;
      default:
        break;
    }
  }
}

/// Calls body.template operator()<R>(first) for groups of R <= kTileRows rows that cover [begin, end).
template <typename Body>
R1_INLINE void for_each_row_group(std::int64_t begin, std::int64_t end, Body&& body) {
  for (; begin + kTileRows <= end; begin += kTileRows) body.template operator()<kTileRows>(begin);
  switch (end - begin) {
    case 1:
      body.template operator()<1>(begin);
      break;
    case 2:
      body.template operator()<2>(begin);
      break;
    case 3:
      body.template operator()<3>(begin);
      break;
    case 4:
      body.template operator()<4>(begin);
      break;
    case 5:
      body.template operator()<5>(begin);
      break;
    default:
      break;
  }
}

/// out[m][n] (+)= sum over k < count of a[m * row_step + k * step] * b[k * b_step + n], m < rows, n < 16 * num_vectors.
/// first_k(m) = where the sum of the rows from m on may start (the factors before it are 0).
template <bool kAdd, typename FirstK, typename EndK>
inline void block_product(const float* a, std::int64_t row_step, std::int64_t step, std::int64_t rows, const float* b, std::int64_t b_step,
                          int num_vectors, float* out, std::int64_t out_step, FirstK&& first_k, EndK&& end_k) {
  for_each_row_group(
      0, rows, [&]<int R>(std::int64_t m) __attribute__((always_inline)) {
        const std::int64_t begin = first_k(m);
        const std::int64_t count = end_k(m + R) - begin;
        for_each_column_group(
            num_vectors, [&]<int C>(int column) __attribute__((always_inline)) {
              float* tile = out + m * out_step + column * kLanes;
              Vec sums[R][C];
              const float* columns[C];
#pragma GCC unroll 8
              for (int c = 0; c < C; ++c) columns[c] = b + begin * b_step + (column + c) * kLanes;
#pragma GCC unroll 8
              for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
                for (int c = 0; c < C; ++c) sums[r][c] = kAdd ? load(tile + r * out_step + c * kLanes) : zero();
              }
              product_tile<R, C>(a + m * row_step + begin * step, row_step, step, columns, b_step, count, sums);
#pragma GCC unroll 8
              for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
                for (int c = 0; c < C; ++c) store(tile + r * out_step + c * kLanes, sums[r][c]);
              }
            });
      });
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
