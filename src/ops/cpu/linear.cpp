#include "ops/linear.h"

#include <algorithm>
#include <cmath>

#include "ops/cpu/gemm.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

GemmOperand operand(const Tensor& tensor, Dense dense) { return {RawAccess::data(tensor), tensor.row_stride(), dense, tensor.dtype()}; }

// Lanes along the columns, m ascending: one chain of additions per element.
void sum_rows(const ExecContext& ctx, const Tensor& grad_out, float* sums, Accumulate accumulate) {
  const std::int64_t M = grad_out.dim(0);
  ctx.threads().parallel_for(
      grad_out.dim(1),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t n = begin; n < end; n += kLanes) {
          const std::int64_t count = end - n;
          Vec sum = accumulate == Accumulate::kYes ? load_first(sums + n, count, zero()) : zero();
          for (std::int64_t m = 0; m < M; ++m) sum = add(sum, load_first(row(grad_out, m) + n, count, zero()));
          store_first(sums + n, sum, count);
        }
      },
      std::max<std::int64_t>(kLanes, rows_worth_a_thread(M) / kLanes * kLanes));
}

/// Each row of x divided by its scale and rounded to e4m3, as f32 values [M, K]; the scales [M].
struct RoundedRows {
  Tensor values, scales;
};

RoundedRows round_rows_to_f8(const ExecContext& ctx, const Tensor& x) {
  const std::int64_t K = x.dim(1);
  RoundedRows result{ctx.empty(x.shape()), ctx.empty({x.dim(0)})};
  ctx.threads().parallel_for(
      x.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t m = begin; m < end; ++m) {
          const float* input = row(x, m);
          float largest = 0;
          for (std::int64_t k = 0; k < K; ++k) largest = std::max(largest, std::fabs(input[k]));
          const float scale = largest > 0 ? largest / kF8E4M3Max : 1.0F;
          for (std::int64_t k = 0; k < K; ++k) row(result.values, m)[k] = f8e4m3_to_f32(f32_to_f8e4m3(input[k] / scale));
          raw<float>(result.scales)[m] = scale;
        }
      },
      rows_worth_a_thread(8 * K));
  return result;
}

}  // namespace

void linear(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor* bias, Tensor& out) {
  gemm(ctx, x.dim(0), weight.dim(0), x.dim(1), operand(x, Dense::kReduction), operand(weight, Dense::kReduction),
       {.data = raw<float>(out), .stride = out.row_stride(), .bias = bias != nullptr ? raw<float>(*bias) : nullptr});
}

void linear_int8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  gemm(ctx, x.dim(0), weight.dim(0), x.dim(1), operand(x, Dense::kReduction), operand(weight, Dense::kReduction),
       {.data = raw<float>(out),
        .stride = out.row_stride(),
        .bias = bias != nullptr ? raw<float>(*bias) : nullptr,
        .scales = raw<float>(scales)});
}

void linear_fp8(const ExecContext& ctx, const Tensor& x, const Tensor& weight, const Tensor& scales, const Tensor* bias, Tensor& out) {
  const RoundedRows rounded = round_rows_to_f8(ctx, x);
  gemm(ctx, x.dim(0), weight.dim(0), x.dim(1), operand(rounded.values, Dense::kReduction), operand(weight, Dense::kReduction),
       {.data = raw<float>(out), .stride = out.row_stride(), .scales = raw<float>(scales)});
  const std::int64_t N = weight.dim(0);
  ctx.threads().parallel_for(
      x.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t m = begin; m < end; ++m) {
          float* result = row(out, m);
          const Vec scale = broadcast(raw<float>(rounded.scales)[m]);
          for_each_vec(N, [&](std::int64_t n, auto io) {
            const Vec scaled = mul(io.load(result + n), scale);
            io.store(result + n, bias != nullptr ? add(scaled, io.load(raw<float>(*bias) + n)) : scaled);
          });
        }
      },
      rows_worth_a_thread(N));
}

void linear_backward_input(const ExecContext& ctx, const Tensor& grad_out, const Tensor& weight, Tensor& grad_x, Accumulate accumulate) {
  gemm(ctx, grad_out.dim(0), weight.dim(1), weight.dim(0), operand(grad_out, Dense::kReduction), operand(weight, Dense::kOutput),
       {.data = raw<float>(grad_x), .stride = grad_x.row_stride(), .accumulate = accumulate == Accumulate::kYes});
}

void linear_backward_weight(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, Tensor& grad_weight, Tensor* grad_bias,
                            Accumulate accumulate) {
  gemm(ctx, grad_out.dim(1), x.dim(1), grad_out.dim(0), operand(grad_out, Dense::kOutput), operand(x, Dense::kOutput),
       {.data = raw<float>(grad_weight), .stride = grad_weight.row_stride(), .accumulate = accumulate == Accumulate::kYes});
  if (grad_bias != nullptr) sum_rows(ctx, grad_out, raw<float>(*grad_bias), accumulate);
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
