// swiglu: out = silu(gate) * up. I intermediate_size. Columns by grid.x, rows by grid.y with a stride. Bound by bandwidth.
#pragma once

#include "ops/cuda/device.cuh"

namespace r1::ops::kernels {

/// 1 / (1 + e^-g) without overflow: e^-|g| is at most 1.
__device__ __forceinline__ float sigmoid(float g) {
  const float e = expf(-fabsf(g));
  return (g >= 0 ? 1.0f : e) / (1.0f + e);
}

__device__ __forceinline__ float gated(float gate, float up) { return gate * sigmoid(gate) * up; }

/// gate_up: gate columns, then up columns.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    swiglu_kernel(const T* gate_up, index_t gate_up_stride, T* out, index_t out_stride, index_t num_rows, index_t intermediate_size) {
  begin_kernel();
  const index_t i = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (i >= intermediate_size) return;
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    const Floats<kWidth> gates = load_floats<kWidth>(gate_up + row * gate_up_stride + i);
    Floats<kWidth> ups = load_floats<kWidth>(gate_up + row * gate_up_stride + intermediate_size + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) ups.v[k] = gated(gates.v[k], ups.v[k]);
    store_floats(out + row * out_stride + i, ups);
  }
}

/// d silu(g) / dg = s (1 + g (1 - s)). grad_gate_up may alias gate_up: a thread reads both of its columns first.
template <typename T, int kWidth>
__global__ void __launch_bounds__(256)
    swiglu_backward_kernel(const T* grad_out, index_t grad_out_stride, const T* gate_up, index_t gate_up_stride, T* grad_gate_up,
                           index_t grad_gate_up_stride, index_t num_rows, index_t intermediate_size) {
  begin_kernel();
  const index_t i = (static_cast<index_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kWidth;
  if (i >= intermediate_size) return;
  for (index_t row = blockIdx.y; row < num_rows; row += gridDim.y) {
    const Floats<kWidth> grads = load_floats<kWidth>(grad_out + row * grad_out_stride + i);
    Floats<kWidth> gates = load_floats<kWidth>(gate_up + row * gate_up_stride + i);
    Floats<kWidth> ups = load_floats<kWidth>(gate_up + row * gate_up_stride + intermediate_size + i);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const float g = gates.v[k], s = sigmoid(g), up = ups.v[k];
      gates.v[k] = grads.v[k] * up * s * (1.0f + g * (1.0f - s));
      ups.v[k] = grads.v[k] * g * s;
    }
    store_floats(grad_gate_up + row * grad_gate_up_stride + i, gates);
    store_floats(grad_gate_up + row * grad_gate_up_stride + intermediate_size + i, ups);
  }
}

}  // namespace r1::ops::kernels
