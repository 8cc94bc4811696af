// Products of few rows with a weight, as in decode steps of few sequences: the weight is read once, and bandwidth is the bound.
// M rows of x, N rows of the weight (columns of the result), K reduction index.
//
// A warp for kRows rows of the weight and all rows of x; lanes lie along K, 16 bytes of the weight each. Rows of x come from cache. A lane
// adds in ascending order of k, and the lanes' sums follow one tree: a row of the result does not depend on M, nor on kRows.
#pragma once

#include "ops/cuda/activation_kernels.cuh"
#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

constexpr int kSmallProductWarps = 4;

/// Pieces of a row of the weight that a lane asks for before it uses the first: bytes under way are what bandwidth is made of.
constexpr int kSmallProductPieces = 4;

/// 16 bytes of the weight as floats. e4m3 codes become floats by a shift of their bits, which are too small by 2^120: the other factor, an
/// e4m3 too, is lifted by 2^60, and so is the sum. Finite codes alone: a NaN of x is one already.
constexpr float kF8Lift = 1.152921504606846976e18f;  // 2^60

template <typename W>
__device__ __forceinline__ Floats<kVectorWidth<W>> unpack(uint4 words) {
  constexpr int kWidth = kVectorWidth<W>;
  union {
    uint4 words;
    W elements[kWidth];
  } bits;
  bits.words = words;
  Floats<kWidth> result;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    if constexpr (sizeof(W) == 1) {
      const unsigned code = bits.elements[k].bits;
      result.v[k] = __uint_as_float((code & 0x80u) << 24 | (code & 0x7Fu) << 20);
    } else {
      result.v[k] = to_float(bits.elements[k]);
    }
  }
  return result;
}

/// What stands beside a product.
struct SmallProductExtras {
  const float* bias_f32;    // [N] or null
  const bf16* bias_bf16;    // [N] or null
  const float* row_scales;  // of x [M] and of the weight [N]: e4m3 alone
  const float* column_scales;
};

/// The sum of element (m, n), scaled where it is one of e4m3 factors, and with its bias.
template <bool kIsF8>
__device__ __forceinline__ float completed(float total, const SmallProductExtras& extras, int m, index_t n) {
  if constexpr (kIsF8) total = __fmul_rn(__fmul_rn(total * kF8Lift, load(extras.column_scales + n)), load(extras.row_scales + m));
  if (extras.bias_f32 != nullptr) total += load(extras.bias_f32 + n);
  if (extras.bias_bf16 != nullptr) total += to_float(load(extras.bias_bf16 + n));
  return total;
}

template <typename T>
__device__ __forceinline__ T rounded(float value) {
  T result;
  from_float(value, result);
  return result;
}

/// out[m, n] = x[m] · weight[n] (scaled) (+ bias[n]). W, X: storage of weight and x; T: of out. M is at most kM. Grid: N / (kRows warps).
/// K is a multiple of 16 bytes of W, rows of both operands begin at multiples of 16 bytes.
/// kIsGated: weight has 2 N rows, a warp takes rows n and N + n, and out[m, n] = silu(gate) * up of their sums, rounded to T as by
/// themselves. Grid: N / warps.
template <typename W, typename X, typename T, int kM, int kRows, bool kIsGated = false>
__global__ void __launch_bounds__(kSmallProductWarps* kWarp, kM* kRows > 2 ? 3 : 4)
    small_product_kernel(const X* x, index_t x_stride, const W* weight, SmallProductExtras extras, T* out, index_t out_stride, int M,
                         index_t N, index_t K) {
  constexpr int kWidth = kVectorWidth<W>;
  constexpr bool kIsF8 = sizeof(W) == 1;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  static_assert(!kIsGated || kRows == 2, "a gate and its up");
  const index_t first = (static_cast<index_t>(blockIdx.x) * kSmallProductWarps + warp) * (kIsGated ? 1 : kRows);
  const index_t row_step = kIsGated ? N : 1, num_rows = kIsGated ? 2 * N : N;
  if (first >= N) return;
  const W* rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = weight + (first + r * row_step < num_rows ? first + r * row_step : N - 1) * K;
  float sums[kRows][kM];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int m = 0; m < kM; ++m) sums[r][m] = 0.0f;
  }
  constexpr index_t kStep = kWarp * kWidth;
  uint4 pieces[kSmallProductPieces][kRows];
  const auto ask = [&](index_t i) {
#pragma unroll
    for (int p = 0; p < kSmallProductPieces; ++p) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        if (i + p * kStep < K) pieces[p][r] = load16(rows[r] + i + p * kStep);
      }
    }
  };
  // The weight is there whatever the kernels before this one still do: only a recording launches early, and none writes weights.
  ask(lane * kWidth);
  begin_kernel();
  for (index_t i = lane * kWidth; i < K; i += kStep * kSmallProductPieces) {
    uint4 current[kSmallProductPieces][kRows];
#pragma unroll
    for (int p = 0; p < kSmallProductPieces; ++p) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) current[p][r] = pieces[p][r];
    }
    ask(i + kStep * kSmallProductPieces);  // under way while these are used
#pragma unroll
    for (int p = 0; p < kSmallProductPieces; ++p) {
      if (i + p * kStep >= K) break;
      Floats<kWidth> weights[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) weights[r] = unpack<W>(current[p][r]);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        Floats<kWidth> values = load_floats<kWidth>(x + (m < M ? m : M - 1) * x_stride + i + p * kStep);
        if constexpr (kIsF8) {
#pragma unroll
          for (int k = 0; k < kWidth; ++k) values.v[k] *= kF8Lift;
        }
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
#pragma unroll
          for (int k = 0; k < kWidth; ++k) sums[r][m] = __fmaf_rn(weights[r].v[k], values.v[k], sums[r][m]);
        }
      }
    }
  }
#pragma unroll
  for (int m = 0; m < kM; ++m) {
    float totals[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) totals[r] = warp_sum(sums[r][m]);
    if (lane != 0 || m >= M) continue;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const index_t n = first + r * row_step;
      if (n >= num_rows) continue;
      totals[r] = completed<kIsF8>(totals[r], extras, m, n);
      if constexpr (!kIsGated) store(out + m * out_stride + n, rounded<T>(totals[r]));
    }
    if constexpr (kIsGated) {
      const float gate = to_float(rounded<T>(totals[0])), up = to_float(rounded<T>(totals[1]));
      store(out + m * out_stride + first, rounded<T>(gated(gate, up)));
    }
  }
}

}  // namespace r1::ops::kernels
