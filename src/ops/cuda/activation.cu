#include "ops/activation.h"

#include "ops/cuda/activation_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

LaunchGrid grid_of(index_t num_rows, index_t pieces) {
  return {blocks_for(pieces, 256), static_cast<unsigned>(std::min<index_t>(num_rows, 65535))};
}

}  // namespace

void swiglu(const ExecContext& ctx, const Tensor& gate_up, Tensor& out) {
  if (out.num_elements() == 0) return;
  with_storage("swiglu", gate_up, [&]<typename T>(T) {
    const Rows<T> input(gate_up), result(out);
    with_width<T>(input.is_vectorisable() && result.is_vectorisable(), [&](auto width) {
      launch(ctx, "swiglu", swiglu_kernel<T, width>, grid_of(input.count, result.length / width), 256, 0, input.data, input.stride,
             result.data, result.stride, input.count, result.length);
    });
  });
}

void swiglu_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& gate_up, Tensor& grad_gate_up) {
  if (grad_out.num_elements() == 0) return;
  with_storage("swiglu_backward", gate_up, [&]<typename T>(T) {
    const Rows<T> grads(grad_out), input(gate_up), result(grad_gate_up);
    with_width<T>(grads.is_vectorisable() && input.is_vectorisable() && result.is_vectorisable(), [&](auto width) {
      launch(ctx, "swiglu_backward", swiglu_backward_kernel<T, width>, grid_of(input.count, grads.length / width), 256, 0, grads.data,
             grads.stride, input.data, input.stride, result.data, result.stride, input.count, grads.length);
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
