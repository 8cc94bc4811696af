// T rows, H hidden_size, V vocab_size. Chunks of ids: logits = hidden · weight[chunk]^T for all rows, so that each weight is read once
// a pass. A pass for the statistics; with gradients a second one, which computes the logits again and turns them into gradients in place.
#include "ops/loss.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/log_softmax.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

constexpr std::size_t kDefaultWorkspaceBytes = std::size_t{64} << 20;

/// body(first id, end) for each chunk, with logits [T, end - first] f32 computed.
template <typename Body>
void for_each_chunk(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, std::size_t workspace_bytes, Body&& body) {
  const std::int64_t T = hidden.dim(0), V = weight.dim(0);
  const auto bytes = static_cast<std::int64_t>(workspace_bytes > 0 ? workspace_bytes : kDefaultWorkspaceBytes);
  const std::int64_t columns = std::min(V, std::max<std::int64_t>(64, bytes / (4 * std::max<std::int64_t>(1, T)) / 64 * 64));
  const Tensor workspace = ctx.empty({T * columns});
  for (std::int64_t first = 0; first < V; first += columns) {
    const std::int64_t end = std::min(V, first + columns);
    Tensor logits = workspace.slice(0, {T, end - first});
    op_table(ctx).linear(ctx, hidden, weight.rows(first, end), nullptr, logits);
    body(first, end, logits);
  }
}

struct HeadGradients {
  const Tensor* lse;
  float scale = 1;
  const Tensor* grad_log_probs = nullptr;
  Tensor *hidden, *weight;
  Accumulate accumulate_weight;
};

void head_gradients(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, float temperature,
                    const HeadGradients& g, std::size_t workspace_bytes) {
  // The chunks' contributions are added in f32. Gradients of logits have the dtype of hidden: both are factors of a product.
  Tensor grad_hidden = g.hidden->dtype() == DType::kF32 ? *g.hidden : ctx.empty(g.hidden->shape());
  for_each_chunk(ctx, hidden, weight, workspace_bytes, [&](std::int64_t first, std::int64_t end, Tensor& logits) {
    const Tensor grad_logits = hidden.dtype() == DType::kF32 ? logits : ctx.empty(logits.shape(), hidden.dtype());
    const Rows<float> rows(logits);
    with_storage("logits_gradient", grad_logits, [&]<typename T>(T) {
      const auto run = [&](auto width) {
        launch(ctx, "logits_gradient", logits_gradient_kernel<T, width>,
               {blocks_for(rows.length / width, 256), static_cast<unsigned>(std::min<index_t>(rows.count, 65535))}, 256, 0, rows.data,
               rows.stride, rows.count, rows.length, device_pointer<int>(ids), first, temperature, device_pointer<float>(*g.lse), g.scale,
               g.grad_log_probs ? device_pointer<float>(*g.grad_log_probs) : nullptr, device_pointer<T>(grad_logits));
      };
      if (rows.is_vectorisable() && Rows<T>(grad_logits).is_vectorisable()) return run(std::integral_constant<int, kVectorWidth<T>>{});
      run(std::integral_constant<int, 1>{});
    });
    Tensor grad_rows = g.weight->rows(first, end);
    op_table(ctx).linear_backward_weight(ctx, grad_logits, hidden, grad_rows, nullptr, g.accumulate_weight);
    op_table(ctx).linear_backward_input(ctx, grad_logits, weight.rows(first, end), grad_hidden,
                                        first > 0 ? Accumulate::kYes : Accumulate::kNo);
  });
  if (g.hidden->dtype() != DType::kF32) cast(ctx, grad_hidden, *g.hidden);
}

}  // namespace

void linear_cross_entropy(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& labels, Tensor& token_loss,
                          Tensor& is_correct, const std::optional<CrossEntropyGradients>& gradients, std::size_t workspace_bytes) {
  const std::int64_t T = hidden.dim(0);
  if (T == 0) {
    if (gradients && gradients->accumulate_weight == Accumulate::kNo) fill(ctx, *gradients->weight, 0);
    return;
  }
  const Tensor states = make_row_states(ctx, T), lse = ctx.empty({T});
  for_each_chunk(ctx, hidden, weight, workspace_bytes, [&](std::int64_t first, std::int64_t, const Tensor& logits) {
    take_logits(ctx, logits, labels, first, 1.0F, nullptr, states);
  });
  write_results(ctx, states, labels, {-1.0F, &token_loss, &is_correct, nullptr, &lse});
  if (!gradients) return;
  head_gradients(ctx, hidden, weight, labels, 1.0F,
                 {&lse, gradients->scale, nullptr, gradients->hidden, gradients->weight, gradients->accumulate_weight}, workspace_bytes);
}

void selected_log_probs(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, float temperature,
                        Tensor& log_probs, Tensor* entropy, Tensor* lse, std::size_t workspace_bytes) {
  if (hidden.dim(0) == 0) return;
  const Tensor states = make_row_states(ctx, hidden.dim(0));
  for_each_chunk(ctx, hidden, weight, workspace_bytes, [&](std::int64_t first, std::int64_t, const Tensor& logits) {
    take_logits(ctx, logits, ids, first, temperature, nullptr, states);
  });
  write_results(ctx, states, ids, {1.0F, &log_probs, nullptr, entropy, lse});
}

void selected_log_probs_backward(const ExecContext& ctx, const Tensor& grad_log_probs, const Tensor& hidden, const Tensor& weight,
                                 const Tensor& ids, float temperature, const Tensor& lse, Tensor& grad_hidden, Tensor& grad_weight,
                                 Accumulate accumulate_weight, std::size_t workspace_bytes) {
  if (hidden.dim(0) == 0) {
    if (accumulate_weight == Accumulate::kNo) fill(ctx, grad_weight, 0);
    return;
  }
  head_gradients(ctx, hidden, weight, ids, temperature, {&lse, 1.0F, &grad_log_probs, &grad_hidden, &grad_weight, accumulate_weight},
                 workspace_bytes);
}

void log_probs_of_logits(const ExecContext& ctx, const Tensor& logits, const Tensor& ids, float temperature, Tensor& log_probs,
                         Tensor* entropy) {
  if (logits.dim(0) == 0) return;
  const Tensor states = make_row_states(ctx, logits.dim(0));
  take_logits(ctx, logits, ids, 0, temperature, nullptr, states);
  write_results(ctx, states, ids, {1.0F, &log_probs, nullptr, entropy, nullptr});
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
