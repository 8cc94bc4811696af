#include "ops/cuda/bias_gradient.h"

#include "ops/cuda/bias_gradient_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/norm_kernels.cuh"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

void bias_gradient(const ExecContext& ctx, const Tensor& grad_out, Tensor& grad_bias, Accumulate accumulate) {
  if (grad_bias.num_elements() == 0) return;
  const index_t num_columns = grad_bias.dim(0), num_parts = (grad_out.dim(0) + kBiasRows - 1) / kBiasRows;
  const Tensor partial_sums = ctx.empty({num_parts, num_columns});
  float* parts = device_pointer<float>(partial_sums);
  with_storage("linear_backward_weight", grad_out, [&]<typename T>(T) {
    const Rows<T> grads(grad_out);
    if (num_parts == 0) return;
    with_width<T>(grads.is_vectorisable(), [&](auto width) {
      launch(ctx, "bias_gradient", bias_parts_kernel<T, width>, {blocks_for(num_columns, kWarp * width), static_cast<unsigned>(num_parts)},
             kBiasWarps * kWarp, 0, grads.data, grads.stride, grads.count, num_columns, parts);
    });
  });
  with_storage("linear_backward_weight", grad_bias, [&]<typename B>(B) {
    with_width<float>(num_columns % kVectorWidth<float> == 0 && is_at_16_bytes(grad_bias), [&](auto width) {
      launch(ctx, "bias_gradient", sum_parts_kernel<B, width>, {blocks_for(num_columns, kWarp * width)}, 256, 0, parts, num_parts,
             num_columns, device_pointer<B>(grad_bias), accumulate == Accumulate::kYes);
    });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
