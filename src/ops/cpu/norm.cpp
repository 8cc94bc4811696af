// H hidden_size
#include "ops/norm.h"

#include <cmath>

#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

float reciprocal_root(float sum_of_squares, std::int64_t H, float eps) {
  return 1.0F / std::sqrt(sum_of_squares / static_cast<float>(H) + eps);
}

void scale_row(const float* x, float rstd, const float* weight, std::int64_t H, float* out) {
  const Vec factor = broadcast(rstd);
  for_each_vec(H, [&](std::int64_t i, auto io) { io.store(out + i, mul(mul(io.load(x + i), factor), io.load(weight + i))); });
}

float sum_of_squares(const float* x, std::int64_t H) {
  Vec sums = zero();
  for_each_vec(H, [&](std::int64_t i, auto io) {
    const Vec value = io.load(x + i);
    sums = fma(value, value, sums);
  });
  return reduce_add(sums);
}

}  // namespace

void rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& weight, float eps, Tensor& out, Tensor* rstd) {
  const std::int64_t H = x.dim(1);
  ctx.threads().parallel_for(
      x.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
          const float* input = row(x, t);
          const float factor = reciprocal_root(sum_of_squares(input, H), H, eps);
          scale_row(input, factor, raw<float>(weight), H, row(out, t));
          if (rstd != nullptr) raw<float>(*rstd)[t] = factor;
        }
      },
      rows_worth_a_thread(H));
}

void add_rms_norm(const ExecContext& ctx, const Tensor& x, const Tensor& residual, const Tensor& weight, float eps, Tensor& sum,
                  Tensor& out, Tensor* rstd) {
  const std::int64_t H = x.dim(1);
  ctx.threads().parallel_for(
      x.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
          const float* left = row(x, t);
          const float* right = row(residual, t);
          float* total = row(sum, t);
          Vec squares = zero();
          for_each_vec(H, [&](std::int64_t i, auto io) {
            const Vec value = add(io.load(left + i), io.load(right + i));
            io.store(total + i, value);
            squares = fma(value, value, squares);
          });
          const float factor = reciprocal_root(reduce_add(squares), H, eps);
          scale_row(total, factor, raw<float>(weight), H, row(out, t));
          if (rstd != nullptr) raw<float>(*rstd)[t] = factor;
        }
      },
      rows_worth_a_thread(H));
}

// With n = x * rstd and g = grad_out * weight: grad_x = (g - n * mean(g * n)) * rstd, grad_weight = sum of grad_out * n.
// grad_weight comes first: grad_x may lie where grad_out does.
void rms_norm_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& x, const Tensor& weight, const Tensor& rstd,
                       Tensor& grad_x, Accumulate accumulate, Tensor& grad_weight, Accumulate accumulate_weight) {
  const std::int64_t H = x.dim(1);
  const std::int64_t num_rows = x.dim(0);
  const float* factors = raw<float>(rstd);
  float* weight_sums = raw<float>(grad_weight);
  ctx.threads().parallel_for(  // threads split the columns: each column's chain over the rows stays whole
      H,
      [&](std::int64_t begin, std::int64_t end, int) {
        if (accumulate_weight == Accumulate::kNo) std::fill(weight_sums + begin, weight_sums + end, 0.0F);
        for (std::int64_t t = 0; t < num_rows; ++t) {
          const float* input = row(x, t) + begin;
          const float* grad = row(grad_out, t) + begin;
          float* sums = weight_sums + begin;
          const Vec factor = broadcast(factors[t]);
          for_each_vec(end - begin, [&](std::int64_t i, auto io) {
            io.store(sums + i, fma(io.load(grad + i), mul(io.load(input + i), factor), io.load(sums + i)));
          });
        }
      },
      std::max<std::int64_t>(64, 16384 / std::max<std::int64_t>(1, num_rows) / 16 * 16));
  ctx.threads().parallel_for(
      num_rows,
      [&](std::int64_t begin, std::int64_t end, int) {
        const float* w = raw<float>(weight);
        for (std::int64_t t = begin; t < end; ++t) {
          const float* input = row(x, t);
          const float* grad = row(grad_out, t);
          float* result = row(grad_x, t);
          const Vec factor = broadcast(factors[t]);
          Vec products = zero();
          for_each_vec(H, [&](std::int64_t i, auto io) {
            products = fma(mul(io.load(grad + i), io.load(w + i)), mul(io.load(input + i), factor), products);
          });
          const Vec minus_mean = broadcast(-(reduce_add(products) / static_cast<float>(H)));
          for_each_vec(H, [&](std::int64_t i, auto io) {
            Vec value = mul(fma(mul(io.load(input + i), factor), minus_mean, mul(io.load(grad + i), io.load(w + i))), factor);
            if (accumulate == Accumulate::kYes) value = add(io.load(result + i), value);
            io.store(result + i, value);
          });
        }
      },
      rows_worth_a_thread(H));
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
