#include "ops/activation.h"

#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

namespace r1::ops::R1_CPU_NAMESPACE {

void swiglu(const ExecContext& ctx, const Tensor& gate_up, Tensor& out) {
  const std::int64_t intermediate_size = out.dim(1);
  ctx.threads().parallel_for(
      out.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        const Vec one = broadcast(1.0F);
        for (std::int64_t t = begin; t < end; ++t) {
          const float* gate = row(gate_up, t);
          const float* up = gate + intermediate_size;
          float* result = row(out, t);
          for_each_vec(intermediate_size, [&](std::int64_t i, auto io) {
            const Vec g = io.load(gate + i);
            io.store(result + i, mul(div(g, add(one, exp(sub(zero(), g)))), io.load(up + i)));
          });
        }
      },
      rows_worth_a_thread(intermediate_size * 4));
}

// With s = sigmoid(g): d silu(g) / dg = s * (1 + g * (1 - s)).
void swiglu_backward(const ExecContext& ctx, const Tensor& grad_out, const Tensor& gate_up, Tensor& grad_gate_up) {
  const std::int64_t intermediate_size = grad_out.dim(1);
  ctx.threads().parallel_for(
      grad_out.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        const Vec one = broadcast(1.0F);
        for (std::int64_t t = begin; t < end; ++t) {
          const float* gate = row(gate_up, t);
          const float* grad = row(grad_out, t);
          float* result = row(grad_gate_up, t);
          for_each_vec(intermediate_size, [&](std::int64_t i, auto io) {
            const Vec g = io.load(gate + i);
            const Vec up = io.load(gate + intermediate_size + i);
            const Vec d = io.load(grad + i);
            const Vec sigmoid = div(one, add(one, exp(sub(zero(), g))));
            io.store(result + i, mul(mul(mul(d, up), sigmoid), fma(g, sub(one, sigmoid), one)));
            io.store(result + intermediate_size + i, mul(d, mul(g, sigmoid)));
          });
        }
      },
      rows_worth_a_thread(intermediate_size * 4));
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
