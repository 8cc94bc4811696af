// Element by element, on rows that may have a stride. R rows of L elements.
//
// Blocks of 256 threads; grid.x covers a row's pieces, grid.y strides over the rows. Bound by bandwidth.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// body(width) once for kWidth elements at i, or for each of those that a row has left.
template <int kWidth, typename Body>
__device__ __forceinline__ void with_rest_of_row(index_t i, index_t length, Body&& body) {
  if (i + kWidth <= length) {
    body.template operator()<kWidth>(i);
  } else {
    for (; i < length; ++i) body.template operator()<1>(i);
  }
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(256) fill_kernel(T* x, index_t stride, index_t num_rows, index_t length, float value) {
  begin_kernel();
  const index_t first = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    with_rest_of_row<kWidth>(first, length, [&]<int kCount>(index_t i) {
      Floats<kCount> values;
#pragma unroll
      for (int k = 0; k < kCount; ++k) values.v[k] = value;
      store_floats(x + row * stride + i, values);
    });
  }
}

/// out = a + b; out may alias either.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    add_kernel(const T* a, index_t a_stride, const T* b, index_t b_stride, T* out, index_t out_stride, index_t num_rows, index_t length) {
  begin_kernel();
  const index_t first = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    with_rest_of_row<kWidth>(first, length, [&]<int kCount>(index_t i) {
      Floats<kCount> values = load_floats<kCount>(a + row * a_stride + i);
      const Floats<kCount> added = load_floats<kCount>(b + row * b_stride + i);
#pragma unroll
      for (int k = 0; k < kCount; ++k) values.v[k] += added.v[k];
      store_floats(out + row * out_stride + i, values);
    });
  }
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(256) scale_kernel(T* x, index_t stride, index_t num_rows, index_t length, float factor) {
  begin_kernel();
  const index_t first = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    with_rest_of_row<kWidth>(first, length, [&]<int kCount>(index_t i) {
      Floats<kCount> values = load_floats<kCount>(x + row * stride + i);
#pragma unroll
      for (int k = 0; k < kCount; ++k) values.v[k] *= factor;
      store_floats(x + row * stride + i, values);
    });
  }
}

/// out = x in another storage type. kWidth elements a thread, the last ones singly.
template <typename From, typename To, int kWidth>
__global__ void __launch_bounds__(256) cast_kernel(const From* x, To* out, index_t count) {
  begin_kernel();
  const index_t first = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  with_rest_of_row<kWidth>(first, count, [&]<int kCount>(index_t i) { store_floats(out + i, load_floats<kCount>(x + i)); });
}

/// A piece of bytes to move: 16 at a time, or single elements of 1, 2, 4 or 8 bytes.
template <typename Unit>
__device__ __forceinline__ void move_unit(const Unit* from, Unit* to) {
  store(to, load(from));
}
template <>
__device__ __forceinline__ void move_unit<uint4>(const uint4* from, uint4* to) {
  store16(to, load16(from));
}

/// out[out_rows[r]] = x[x_rows[r]] in units of bytes; a null list is 0, 1, 2, …; a negative row is left out: row copies, gathers and
/// scatters of shards and batches. The rows written must differ.
template <typename Unit>
__global__ void __launch_bounds__(256) move_rows_kernel(const Unit* x, index_t x_stride, const int* x_rows, Unit* out, index_t out_stride,
                                                        const int* out_rows, index_t num_rows, index_t units) {
  begin_kernel();
  const index_t i = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= units) return;
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    const index_t from = x_rows != nullptr ? load(x_rows + row) : row;
    const index_t to = out_rows != nullptr ? load(out_rows + row) : row;
    if (from < 0 || to < 0) continue;
    move_unit(x + from * x_stride + i, out + to * out_stride + i);
  }
}

/// One piece of a flat buffer that goes to another: parameters to shards and back.
struct Segment {
  index_t from, to, count;  // in elements
};

/// out[to + i] = x[from + i] for each segment; grid.y strides over the segments. Segments written must not overlap.
template <typename T>
__global__ void __launch_bounds__(256) move_segments_kernel(const T* x, T* out, const Segment* segments, index_t num_segments) {
  begin_kernel();
  for (index_t s = blockIdx.y; s < num_segments; s += gridDim.y) {
    const index_t from = load(&segments[s].from), to = load(&segments[s].to), count = load(&segments[s].count);
    constexpr int kWidth = kVectorWidth<T>;
    const index_t first = static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x, step = static_cast<index_t>(gridDim.x) * blockDim.x;
    if (from % kWidth == 0 && to % kWidth == 0) {  // both buffers begin at a multiple of 16 bytes
      for (index_t v = first; v < count / kWidth; v += step) store16(out + to + v * kWidth, load16(x + from + v * kWidth));
      for (index_t i = count / kWidth * kWidth + first; i < count; i += step) store(out + to + i, load(x + from + i));
    } else {
      for (index_t i = first; i < count; i += step) store(out + to + i, load(x + from + i));
    }
  }
}

}  // namespace r1::ops::kernels
