// Small helpers of the row-wise ops.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tensor/raw_access.h"

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

/// First element of row `index` of an f32 tensor whose rows may have a stride.
inline float* row(const Tensor& tensor, std::int64_t index) { return raw<float>(tensor) + index * tensor.row_stride(); }

/// multiple_of for parallel_for over rows: a thread is woken for about 16,384 elements, not for fewer.
inline std::int64_t rows_worth_a_thread(std::int64_t row_elements) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, row_elements));
}

struct WholeVec {
  R1_INLINE static Vec load(const float* p) { return R1_CPU_NAMESPACE::load(p); }
  R1_INLINE static void store(float* p, Vec value) { R1_CPU_NAMESPACE::store(p, value); }
};
struct FirstLanes {
  int count;
  R1_INLINE Vec load(const float* p) const { return load_partial(p, count, zero()); }
  R1_INLINE void store(float* p, Vec value) const { store_partial(p, value, count); }
};

/// Calls body(i, io) for i = 0, 16, … below count. io.load and io.store move 16 elements, or the rest at the tail (absent
/// elements read as 0).
template <typename Body>
R1_INLINE void for_each_vec(std::int64_t count, Body&& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(i, WholeVec{});
  if (i < count) body(i, FirstLanes{static_cast<int>(count - i)});
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
