// Launches of the log-softmax that the losses and the sampler share.
#pragma once

#include "ops/cuda/loss_kernels.cuh"
#include "ops/cuda/tensors.h"

namespace r1::ops::kernels {

/// One RowState a row, as f64 numbers.
inline Tensor make_row_states(const ExecContext& ctx, std::int64_t num_rows) {
  static_assert(sizeof(RowState) == 4 * sizeof(double));
  return ctx.empty({num_rows, 4}, DType::kF64);
}

inline RowState* row_states(const Tensor& states) { return reinterpret_cast<RowState*>(device_pointer<double>(states)); }

/// Takes the logits [T, C] (f32 or bf16) of ids from first_id on into the states.
inline void take_logits(const ExecContext& ctx, const Tensor& logits, const Tensor& ids, std::int64_t first_id, float temperature,
                        const Tensor* temperatures, const Tensor& states) {
  with_storage("log_softmax", logits, [&]<typename L>(L) {
    const Rows<L> rows(logits);
    with_width<L>(rows.is_vectorisable(), [&](auto width) {
      launch(ctx, "log_softmax_stats", log_softmax_stats_kernel<L, width>, {static_cast<unsigned>(rows.count)},
             threads_for(rows.length / width), 0, rows.data, rows.stride, rows.length, device_pointer<int>(ids), first_id, temperature,
             temperatures ? device_pointer<float>(*temperatures) : nullptr, row_states(states));
    });
  });
}

struct LogSoftmaxResults {
  float sign = 1;  // of log_probs
  const Tensor *log_probs = nullptr, *is_correct = nullptr, *entropy = nullptr, *lse = nullptr;
};

inline void write_results(const ExecContext& ctx, const Tensor& states, const Tensor& ids, const LogSoftmaxResults& results) {
  const auto pointer = [](const Tensor* tensor) { return tensor ? device_pointer<float>(*tensor) : nullptr; };
  launch(ctx, "log_softmax_results", log_softmax_results_kernel, {blocks_for(ids.dim(0), 256)}, 256, 0, row_states(states),
         device_pointer<int>(ids), index_t{ids.dim(0)}, results.sign, pointer(results.log_probs), pointer(results.is_correct),
         pointer(results.entropy), pointer(results.lse));
}

}  // namespace r1::ops::kernels
