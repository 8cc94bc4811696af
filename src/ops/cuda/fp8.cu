#include "ops/cuda/fp8.h"

#include "ops/cuda/fp8_kernels.cuh"
#include "ops/cuda/kernels.h"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

/// Elements that fill one 16-byte access of the 8-bit side.
constexpr int kF8Width = kVectorWidth<f8e4m3>;

}  // namespace

void round_rows_to_f8(const ExecContext& ctx, const Tensor& x, const Tensor& rounded, const Tensor& scales) {
  if (x.num_elements() == 0) return;
  with_storage("linear_fp8", x, [&]<typename T>(T) {
    const Rows<T> input(x);
    f8e4m3* result = device_pointer<f8e4m3>(rounded);
    float* factors = device_pointer<float>(scales);
    const auto run = [&](auto width) {
      launch(ctx, "round_rows_to_f8", round_rows_to_f8_kernel<T, width>, {static_cast<unsigned>(input.count)},
             threads_for(input.length / width), 0, input.data, input.stride, result, factors, input.length);
    };
    if (input.is_vectorisable() && input.length % kF8Width == 0) {
      run(std::integral_constant<int, kF8Width>{});
    } else {
      run(std::integral_constant<int, 1>{});
    }
  });
}

void scale_sums(const ExecContext& ctx, const Tensor& sums, const Tensor& row_scales, const Tensor& column_scales, const Tensor* bias,
                Tensor& out) {
  if (out.num_elements() == 0) return;
  with_storage("linear_fp8", out, [&]<typename T>(T) {
    const Rows<T> result(out);
    const auto with_bias = [&]<typename B>(const B* added) {
      const bool is_wide = result.is_vectorisable() && is_at_16_bytes(column_scales) && (bias == nullptr || is_at_16_bytes(*bias));
      with_width<T>(is_wide, [&](auto width) {
        launch(ctx, "scale_sums", scale_sums_kernel<T, B, width>,
               {blocks_for(result.length, 256 * width), static_cast<unsigned>(std::min<index_t>(result.count, 65535))}, 256, 0,
               device_pointer<float>(sums), device_pointer<float>(row_scales), device_pointer<float>(column_scales), added, result.data,
               result.stride, result.count, result.length);
      });
    };
    if (bias == nullptr) return with_bias(static_cast<const float*>(nullptr));
    with_storage("linear_fp8", *bias, [&]<typename B>(B) { with_bias(static_cast<const B*>(device_pointer<B>(*bias))); });
  });
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
