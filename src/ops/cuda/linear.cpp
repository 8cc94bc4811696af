// The linear ops on the device: f32 x f32, bf16 x bf16, f32 activations with a bf16 weight (rounded to bf16 for the product), and e4m3 x
// e4m3, always with f32 sums.
#include "ops/linear.h"

#include <atomic>
#include <optional>

#include "ops/cuda/bias_gradient.h"
#include "ops/cuda/cublaslt_product.h"
#include "ops/cuda/fp8.h"
#include "ops/cuda/kernels.h"
#include "ops/cuda/linear.h"
#include "ops/cuda/small_product.h"

namespace r1::ops::cuda {

namespace {
std::atomic<bool> is_batch_invariant = false;
std::atomic<R1CudaSmallProducts> chosen_small_products = R1_CUDA_SMALL_PRODUCTS_OWN;

/// Batches of other sizes get their bits from cuBLASLt.
bool takes_own_products() { return chosen_small_products == R1_CUDA_SMALL_PRODUCTS_OWN && !is_batch_invariant; }

/// x in the dtype of `like`: both factors of a product have one storage type.
Tensor as_dtype_of(const ExecContext& ctx, const Tensor& x, const Tensor& like) {
  if (x.dtype() == like.dtype()) return x;
  Tensor dense = x;
  if (!x.is_contiguous()) {
    dense = ctx.empty(x.shape(), x.dtype());
    copy(ctx, x, dense);
  }
  Tensor result = ctx.empty(x.shape(), like.dtype());
  cast(ctx, dense, result);
  return result;
}

}  // namespace

void set_batch_invariant(bool on) { is_batch_invariant = on; }
void choose_small_products(R1CudaSmallProducts choice) { chosen_small_products = choice; }

void linear(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  if (out.num_elements() == 0) return;
  if (takes_own_products() && small_product(ctx, x, weight, bias, out)) return;
  const Tensor input = as_dtype_of(ctx, x, weight);
  std::optional<Tensor> added;  // cuBLASLt adds a bias of the result's dtype
  if (bias != nullptr) added = as_dtype_of(ctx, *bias, out);
  multiply(
      ctx, "linear",
      {weight.dim(0), x.dim(0), x.dim(1), true, false, &weight, &input, &out, 0, added ? &*added : nullptr, is_batch_invariant.load()});
}

void linear_swiglu(const ExecContext& ctx, const Tensor& x, const Tensor& weight, Tensor& out) {
  if (out.num_elements() == 0) return;
  if (takes_own_products() && small_product_swiglu(ctx, x, weight, out)) return;
  Tensor gate_up = ctx.empty({x.dim(0), weight.dim(0)}, x.dtype());
  linear(ctx, x, weight, nullptr, gate_up);
  swiglu(ctx, gate_up, out);
}

void linear_int8(const ExecContext&, const Tensor&, const Tensor&, const Tensor&, const Tensor*, Tensor&) {
  fail(ErrorKind::kUsage, "weights in int8 are for the CPU: on CUDA use --dtype float8_e4m3fn or bfloat16");
}

void linear_fp8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  if (out.num_elements() == 0) return;
  const std::int64_t M = x.dim(0), N = weight.dim(0), K = weight.dim(1);
  const Fp8Support support = fp8_support(ctx);
  if (!support.products) fail(ErrorKind::kUsage, "products in float8_e4m3fn need compute capability 8.9 or higher: use --dtype bfloat16");
  if (N % 16 != 0 || K % 16 != 0) {
    fail(ErrorKind::kUsage, "products in float8_e4m3fn need matrices of multiples of 16, found [{}, {}]: use --dtype bfloat16", N, K);
  }
  const Tensor rounded = ctx.empty(x.shape(), DType::kF8E4M3), x_scales = ctx.empty({M});
  round_rows_to_f8(ctx, x, rounded, x_scales);
  if (takes_own_products() && small_product_fp8(ctx, rounded, x_scales, weight, scales, bias, out)) return;
  Product product{N, M, K, true, false, &weight, &rounded, &out};
  product.is_invariant = is_batch_invariant.load();
  if (support.row_scales && out.dtype() == DType::kBF16) {
    std::optional<Tensor> added;
    if (bias != nullptr) added = as_dtype_of(ctx, *bias, out);
    product.bias = added ? &*added : nullptr;
    product.a_scales = &scales;
    product.b_scales = &x_scales;
    return multiply(ctx, "linear_fp8", product);
  }
  Tensor sums = ctx.empty({M, N});
  product.d = &sums;
  multiply(ctx, "linear_fp8", product);
  scale_sums(ctx, sums, x_scales, scales, bias, out);
}

void linear_backward_input(const ExecContext& ctx, const Tensor& grad_out, const Tensor& weight, Tensor& grad_x, Accumulate accumulate) {
  if (grad_x.num_elements() == 0) return;
  multiply(ctx, "linear_backward_input",
           {weight.dim(1), grad_out.dim(0), weight.dim(0), false, false, &weight, &grad_out, &grad_x,
            accumulate == Accumulate::kYes ? 1.0F : 0.0F, nullptr, is_batch_invariant.load()});
}

void linear_backward_weight(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, Tensor& grad_weight, Tensor* grad_bias,
                            Accumulate accumulate) {
  const bool adds = accumulate == Accumulate::kYes;
  if (grad_out.dim(0) == 0) {  // no rows, no sum
    if (!adds) fill(ctx, grad_weight, 0);
    if (!adds && grad_bias != nullptr) fill(ctx, *grad_bias, 0);
    return;
  }
  multiply(ctx, "linear_backward_weight",
           {x.dim(1), grad_out.dim(1), x.dim(0), false, true, &x, &grad_out, &grad_weight, adds ? 1.0F : 0.0F, nullptr});
  if (grad_bias != nullptr) bias_gradient(ctx, grad_out, *grad_bias, accumulate);
}

}  // namespace r1::ops::cuda
