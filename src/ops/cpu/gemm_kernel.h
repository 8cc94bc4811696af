// The register tile of the matrix product: MR rows times NV vectors of 16 columns.
#pragma once

#include <cstdint>
#include <utility>

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

// Accumulators, the row of B and one factor of A must fit into the registers: 14 * 2 + 2 + 1 of 32, or 6 * 2 + 2 + 1 of 16.
#if defined(R1_CPU_avx512)
inline constexpr int kPanelRows = 14;
inline constexpr int kPanelVecs = 2;
#elif defined(R1_CPU_avx2)
inline constexpr int kPanelRows = 6;
inline constexpr int kPanelVecs = 1;
#else
inline constexpr int kPanelRows = 4;
inline constexpr int kPanelVecs = 1;
#endif
inline constexpr int kPanelColumns = kPanelVecs * kLanes;

/// Where a tile's result goes and how its chains begin and end.
struct TileOutput {
  float* c = nullptr;
  std::int64_t stride = 0;
  std::int64_t num_columns = 0;  // valid ones, <= NV * 16
  bool from_stored = false;
  const float* bias = nullptr;
  const float* scales = nullptr;
};

/// a [K][MR], b [K][NV * 16] packed.
template <int MR, int NV>
void tile_kernel(std::int64_t K, const float* a, const float* b, const TileOutput& out) {
  Vec sums[MR][NV];
  const std::int64_t last = out.num_columns - (NV - 1) * kLanes;  // columns of the last vector
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      sums[i][v] = zero();
      if (!out.from_stored) continue;
      const float* c = out.c + i * out.stride + v * kLanes;
      sums[i][v] = v + 1 < NV ? load(c) : load_first(c, last, zero());
    }
  }
  // The stored values of the tile to the right, which comes next.
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) __builtin_prefetch(out.c + i * out.stride + (NV + v) * kLanes, 1);
  }
#pragma GCC unroll 4
  for (std::int64_t k = 0; k < K; ++k) {
    Vec columns[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) columns[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec factor = broadcast(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) sums[i][v] = fma(factor, columns[v], sums[i][v]);
    }
    a += MR;
    b += NV * kLanes;
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      float* c = out.c + i * out.stride + v * kLanes;
      const std::int64_t count = v + 1 < NV ? kLanes : last;
      if (out.scales != nullptr) sums[i][v] = mul(sums[i][v], load_first(out.scales + v * kLanes, count, zero()));
      if (out.bias != nullptr) sums[i][v] = add(sums[i][v], load_first(out.bias + v * kLanes, count, zero()));
      store_first(c, sums[i][v], count);
    }
  }
}

using TileKernel = void (*)(std::int64_t, const float*, const float*, const TileOutput&);

template <int NV, int... Rows>
constexpr auto tile_kernels_of(std::integer_sequence<int, Rows...>) {
  struct Table {
    TileKernel kernels[sizeof...(Rows)];
  };
  return Table{{tile_kernel<Rows + 1, NV>...}};
}

/// The kernel for a tile of `rows` (1 … kPanelRows) times `vecs` (1 … kPanelVecs) vectors.
inline TileKernel tile_kernel_for(std::int64_t rows, std::int64_t vecs) {
  static constexpr auto kOne = tile_kernels_of<1>(std::make_integer_sequence<int, kPanelRows>{});
  static constexpr auto kFull = tile_kernels_of<kPanelVecs>(std::make_integer_sequence<int, kPanelRows>{});
  return vecs == 1 ? kOne.kernels[rows - 1] : kFull.kernels[rows - 1];
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
