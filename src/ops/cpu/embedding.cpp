#include "ops/embedding.h"

#include <cstring>

#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"

#include "ops/cpu/simd.h"

namespace r1::ops::R1_CPU_NAMESPACE {

void embedding(const ExecContext& ctx, const Tensor& ids, const Tensor& weight, Tensor& out) {
  const std::int64_t H = out.dim(1);
  const auto* id = raw<std::int32_t>(ids);
  ctx.threads().parallel_for(
      ids.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
          if (weight.dtype() == DType::kF32) {
            std::memcpy(row(out, t), row(weight, id[t]), static_cast<std::size_t>(H) * sizeof(float));
            continue;
          }
          const std::uint16_t* bf16 = raw<std::uint16_t>(weight) + id[t] * H;
          std::int64_t i = 0;
          for (; i + kLanes <= H; i += kLanes) store(row(out, t) + i, load_bf16(bf16 + i));
          for (; i < H; ++i) row(out, t)[i] = bf16_to_f32(bf16[i]);
        }
      },
      rows_worth_a_thread(H));
}

// Threads split the columns, so that each element meets the tokens in ascending order.
void embedding_backward(const ExecContext& ctx, const Tensor& ids, const Tensor& grad_out, Tensor& grad_weight, Accumulate accumulate) {
  if (accumulate == Accumulate::kNo) fill(ctx, grad_weight, 0);
  const std::int64_t num_tokens = ids.dim(0);
  const auto* id = raw<std::int32_t>(ids);
  ctx.threads().parallel_for(
      grad_weight.dim(1),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = 0; t < num_tokens; ++t) {
          float* total = row(grad_weight, id[t]) + begin;
          const float* grad = row(grad_out, t) + begin;
          for_each_vec(end - begin, [&](std::int64_t i, auto io) { io.store(total + i, add(io.load(total + i), io.load(grad + i))); });
        }
      },
      std::max<std::int64_t>(kLanes, rows_worth_a_thread(num_tokens) / kLanes * kLanes));
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
