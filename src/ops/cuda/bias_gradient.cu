#include "ops/cuda/bias_gradient.h"

#include "ops/cuda/bias_gradient_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

void bias_gradient(const ExecContext& ctx, const Tensor& grad_out, Tensor& grad_bias, Accumulate accumulate) {
  if (grad_bias.num_elements() == 0) return;
  with_storage("linear_backward_weight", grad_out, [&]<typename T>(T) {
    with_storage("linear_backward_weight", grad_bias, [&]<typename B>(B) {
      const Rows<T> grads(grad_out);
      launch(ctx, "bias_gradient", bias_gradient_kernel<T, B>, {blocks_for(grads.length, kWarp)}, kBiasWarps * kWarp, 0, grads.data,
             grads.stride, grads.count, grads.length, device_pointer<B>(grad_bias), accumulate == Accumulate::kYes);
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
