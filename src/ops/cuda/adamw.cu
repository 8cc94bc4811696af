#include "ops/adamw.h"

#include "ops/cuda/adamw_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

void adamw(const ExecContext& ctx, Tensor& parameter, const Tensor& gradient, Tensor& exp_avg, Tensor& exp_avg_sq, const AdamWStep& step,
           Tensor* bf16_copy) {
  const index_t count = parameter.num_elements();
  if (count == 0) return;
  const AdamWCoefficients<float> c(step);
  const AdamWFactors factors{c.gradient_scale,        c.decay,   c.one_minus_beta1, c.beta2, c.one_minus_beta2,
                             c.bias_correction2_sqrt, c.epsilon, c.step_size};
  bool is_aligned = true;  // a shard may begin anywhere in its buffer
  for (const Tensor* tensor : {static_cast<const Tensor*>(&parameter), &gradient, static_cast<const Tensor*>(&exp_avg),
                               static_cast<const Tensor*>(&exp_avg_sq), static_cast<const Tensor*>(bf16_copy)}) {
    is_aligned = is_aligned && (tensor == nullptr || reinterpret_cast<std::uintptr_t>(RawAccess::data(*tensor)) % 16 == 0);
  }
  with_storage("adamw", gradient, [&]<typename G>(G) {
    const auto run = [&](auto width) {
      launch(ctx, "adamw", adamw_kernel<G, width>, {blocks_for(count, 256 * width)}, 256, 0, device_pointer<float>(parameter),
             device_pointer<G>(gradient), device_pointer<float>(exp_avg), device_pointer<float>(exp_avg_sq),
             bf16_copy ? device_pointer<bf16>(*bf16_copy) : nullptr, factors, count);
    };
    // Eight elements are whole pieces of 16 bytes in both storage types.
    if (is_aligned) return run(std::integral_constant<int, 8>{});
    run(std::integral_constant<int, 1>{});
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
