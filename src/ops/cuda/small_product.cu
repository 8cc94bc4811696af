#include "ops/cuda/small_product.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/small_product_kernels.cuh"
#include "ops/cuda/tensors.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

/// With so many rows of the weight a warp takes two: more loads in flight, and x is read half as often.
constexpr index_t kManyColumns = 4096;

template <typename X, typename W>
bool is_served(const Tensor& x, const Tensor& weight) {
  const Rows<X> values(x);
  const Rows<W> weights(weight);
  return values.is_aligned() && weights.is_vectorisable() && values.length % kVectorWidth<X> == 0;
}

template <typename W, typename X, typename T>
void run(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const SmallProductExtras& extras, Tensor& out) {
  const Rows<X> values(x);
  const Rows<W> weights(weight);
  const Rows<T> result(out);
  const auto with = [&](auto rows_of_x, auto rows_of_weight) {
    launch(ctx, "small_product", small_product_kernel<W, X, T, rows_of_x, rows_of_weight>,
           {blocks_for(weights.count, kSmallProductWarps * rows_of_weight)}, kSmallProductWarps * kWarp, 0, values.data, values.stride,
           weights.data, extras, result.data, result.stride, static_cast<int>(values.count), weights.count, weights.length);
  };
  const auto with_rows = [&](auto rows_of_x) {
    if constexpr (rows_of_x <= 2) {  // four rows of x leave no registers for a second row of the weight
      if (weights.count >= kManyColumns) return with(rows_of_x, std::integral_constant<int, 2>{});
    }
    with(rows_of_x, std::integral_constant<int, 1>{});
  };
  if (values.count == 1) return with_rows(std::integral_constant<int, 1>{});
  if (values.count == 2) return with_rows(std::integral_constant<int, 2>{});
  with_rows(std::integral_constant<int, 4>{});
}

template <typename W, typename X, typename T>
void run_gated(const ExecContext& ctx, const Tensor& x, const Tensor& weight, Tensor& out) {
  const Rows<X> values(x);
  const Rows<W> weights(weight);
  const Rows<T> result(out);
  const auto with = [&](auto rows_of_x) {
    launch(ctx, "small_product_swiglu", small_product_kernel<W, X, T, rows_of_x, 2, true>, {blocks_for(result.length, kSmallProductWarps)},
           kSmallProductWarps * kWarp, 0, values.data, values.stride, weights.data, SmallProductExtras{}, result.data, result.stride,
           static_cast<int>(values.count), result.length, weights.length);
  };
  if (values.count == 1) return with(std::integral_constant<int, 1>{});
  with(std::integral_constant<int, 2>{});
}

SmallProductExtras extras_of(const Tensor* bias) {
  SmallProductExtras extras{};
  if (bias != nullptr && bias->dtype() == DType::kF32) extras.bias_f32 = device_pointer<float>(*bias);
  if (bias != nullptr && bias->dtype() == DType::kBF16) extras.bias_bf16 = device_pointer<bf16>(*bias);
  return extras;
}

}  // namespace

bool small_product(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  if (x.dim(0) > kSmallProductRows || out.num_elements() == 0 || x.dim(1) == 0) return false;
  const SmallProductExtras extras = extras_of(bias);
  const bool is_wide_x = x.dtype() == DType::kF32, is_wide_out = out.dtype() == DType::kF32;
  if (weight.dtype() == DType::kF32 && is_wide_x && is_wide_out) {
    if (!is_served<float, float>(x, weight)) return false;
    run<float, float, float>(ctx, x, weight, extras, out);
    return true;
  }
  if (weight.dtype() != DType::kBF16) return false;
  if (is_wide_x) {
    if (!is_wide_out || !is_served<float, bf16>(x, weight)) return false;
    run<bf16, float, float>(ctx, x, weight, extras, out);
    return true;
  }
  if (!is_served<bf16, bf16>(x, weight)) return false;
  is_wide_out ? run<bf16, bf16, float>(ctx, x, weight, extras, out) : run<bf16, bf16, bf16>(ctx, x, weight, extras, out);
  return true;
}

bool small_product_swiglu(const ExecContext& ctx, const Tensor& x, const Tensor& weight, Tensor& out) {
  if (x.dim(0) > kSmallProductSwigluRows || out.num_elements() == 0 || x.dim(1) == 0 || out.dtype() != x.dtype()) return false;
  const bool is_wide_x = x.dtype() == DType::kF32;
  if (weight.dtype() == DType::kF32 && is_wide_x) {
    if (!is_served<float, float>(x, weight)) return false;
    run_gated<float, float, float>(ctx, x, weight, out);
    return true;
  }
  if (weight.dtype() != DType::kBF16) return false;
  if (is_wide_x) {
    if (!is_served<float, bf16>(x, weight)) return false;
    run_gated<bf16, float, float>(ctx, x, weight, out);
    return true;
  }
  if (!is_served<bf16, bf16>(x, weight)) return false;
  run_gated<bf16, bf16, bf16>(ctx, x, weight, out);
  return true;
}

bool small_product_fp8(const ExecContext& ctx, const Tensor& rounded, const Tensor& row_scales, const Tensor& weight,
                       const Tensor& column_scales, const Tensor* bias, Tensor& out) {
  if (rounded.dim(0) > kSmallProductRows || out.num_elements() == 0 || rounded.dim(1) == 0) return false;
  if (!is_served<f8e4m3, f8e4m3>(rounded, weight)) return false;
  SmallProductExtras extras = extras_of(bias);
  extras.row_scales = device_pointer<float>(row_scales);
  extras.column_scales = device_pointer<float>(column_scales);
  out.dtype() == DType::kF32 ? run<f8e4m3, f8e4m3, float>(ctx, rounded, weight, extras, out)
                             : run<f8e4m3, f8e4m3, bf16>(ctx, rounded, weight, extras, out);
  return true;
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
