// Packing: from rows in memory to the order in which the register tile reads.
#pragma once

#include <cstdint>

#include "ops/cpu/gemm.h"

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

R1_INLINE Vec load_as_f32(const float* memory, std::int64_t count) { return load_first(memory, count, zero()); }
R1_INLINE Vec load_as_f32(const std::uint16_t* memory, std::int64_t count) {
  if (count >= kLanes) return load_bf16(memory);
  std::uint16_t padded[kLanes] = {};
  for (std::int64_t j = 0; j < count; ++j) padded[j] = memory[j];
  return load_bf16(padded);
}

R1_INLINE Vec load_as_f32(const std::int8_t* memory, std::int64_t count) {
  if (count >= kLanes) return load_i8(memory);
  std::int8_t padded[kLanes] = {};
  for (std::int64_t j = 0; j < count; ++j) padded[j] = memory[j];
  return load_i8(padded);
}

R1_INLINE Vec load_as_f32(const std::uint8_t* memory, std::int64_t count) {
  if (count >= kLanes) return load_f8e4m3(memory);
  std::uint8_t padded[kLanes] = {};
  for (std::int64_t j = 0; j < count; ++j) padded[j] = memory[j];
  return load_f8e4m3(padded);
}

/// How far ahead the rows are asked for: 16 streams at a time are more than the prefetchers follow well.
inline constexpr std::int64_t kPrefetchBytes = 512;

/// out[k * out_stride + i] = rows[i * row_stride + k] for i < count <= 16, k < K; lanes from `count` on are 0, as far as 16
/// values are written at each k (in ascending order of k: with out_stride < 16 the next k overwrites the surplus).
template <typename T>
void pack_transposed(const T* rows, std::int64_t row_stride, std::int64_t count, std::int64_t K, float* out, std::int64_t out_stride) {
  for (std::int64_t k = 0; k < K; k += kLanes) {
    const std::int64_t depth = K - k < kLanes ? K - k : kLanes;
    Vec block[kLanes];
    if (count == kLanes && depth == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) __builtin_prefetch(rows + i * row_stride + k + kPrefetchBytes / sizeof(T));
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) block[i] = load_as_f32(rows + i * row_stride + k, kLanes);
    } else {
      for (int i = 0; i < kLanes; ++i) block[i] = i < count ? load_as_f32(rows + i * row_stride + k, depth) : zero();
    }
    transpose(block);
    float* target = out + k * out_stride;
    if (depth == kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) store(target + i * out_stride, block[i]);
    } else {
      for (int i = 0; i < depth; ++i) store(target + i * out_stride, block[i]);
    }
  }
}

/// out[k * out_stride + i] = rows[k * row_stride + i] for i < count <= 16, k < K; otherwise as pack_transposed.
inline void pack_straight(const float* rows, std::int64_t row_stride, std::int64_t count, std::int64_t K, float* out,
                          std::int64_t out_stride) {
  for (std::int64_t k = 0; k < K; ++k) store(out + k * out_stride, load_first(rows + k * row_stride, count, zero()));
}

/// Row k of an operand whose output index is dense.
inline const float* straight_row(const GemmOperand& operand, std::int64_t k) {
  return static_cast<const float*>(operand.data) + k * operand.stride;
}

/// Elements [first, first + count) of the output index and [k, k + K) of the reduction index; count <= 16.
inline void pack(const GemmOperand& operand, std::int64_t first, std::int64_t count, std::int64_t k, std::int64_t K, float* out,
                 std::int64_t out_stride) {
  const std::int64_t offset = first * operand.stride + k;
  if (operand.dense == Dense::kOutput) {
    pack_straight(straight_row(operand, k) + first, operand.stride, count, K, out, out_stride);
  } else if (operand.dtype == DType::kBF16) {
    pack_transposed(static_cast<const std::uint16_t*>(operand.data) + offset, operand.stride, count, K, out, out_stride);
  } else if (operand.dtype == DType::kF8E4M3) {
    pack_transposed(static_cast<const std::uint8_t*>(operand.data) + offset, operand.stride, count, K, out, out_stride);
  } else if (operand.dtype == DType::kI8) {
    pack_transposed(static_cast<const std::int8_t*>(operand.data) + offset, operand.stride, count, K, out, out_stride);
  } else {
    pack_transposed(static_cast<const float*>(operand.data) + offset, operand.stride, count, K, out, out_stride);
  }
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
