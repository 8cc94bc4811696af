// T rows, H hidden_size, V vocab_size. Chunks of rows: logits = hidden[chunk] · weight^T, whose gradients replace them before the next
// chunk, so that each product is computed once. With each chunk the weight is read, and its gradient read and written.
#include "ops/loss.h"

#include "ops/cuda/kernels.h"
#include "ops/cuda/log_softmax.h"
#include "ops/cuda_logits.h"

namespace r1::ops::R1_CUDA_NAMESPACE {

using namespace kernels;

namespace {

/// body(first row, end, logits [end - first, V] f32) for each chunk.
template <typename Body>
void for_each_chunk(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, std::size_t workspace_bytes, Body&& body) {
  const std::int64_t T = hidden.dim(0), V = weight.dim(0), rows = cuda_rows_of_logits(T, V, workspace_bytes);
  const Tensor workspace = ctx.empty({rows * V});
  for (std::int64_t first = 0; first < T; first += rows) {
    const std::int64_t end = std::min(T, first + rows);
    Tensor logits = workspace.slice(0, {end - first, V});
    op_table(ctx).linear(ctx, hidden.rows(first, end), weight, nullptr, logits);
    body(first, end, logits);
  }
}

Tensor part(const Tensor& vector, std::int64_t first, std::int64_t end) { return vector.slice(first, {end - first}); }

struct HeadGradients {
  float scale = 1;
  const Tensor* grad_log_probs = nullptr;  // [T]
  Tensor *hidden, *weight;
  Accumulate accumulate_weight;
};

/// Of the rows of one chunk: logits become their gradients, and the two products follow. ids and lse are theirs.
void chunk_gradients(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, const Tensor& lse,
                     float temperature, std::int64_t first, const Tensor& logits, const HeadGradients& g) {
  const std::int64_t end = first + logits.dim(0);
  // Gradients of logits have the dtype of hidden: both are factors of a product.
  const Tensor grad_logits = hidden.dtype() == DType::kF32 ? logits : ctx.empty(logits.shape(), hidden.dtype());
  const Tensor scales = g.grad_log_probs != nullptr ? part(*g.grad_log_probs, first, end) : Tensor();
  const Rows<float> rows(logits);
  with_storage("logits_gradient", grad_logits, [&]<typename T>(T) {
    const auto run = [&](auto width) {
      launch(ctx, "logits_gradient", logits_gradient_kernel<T, width>,
             {blocks_for(rows.length / width, 256), static_cast<unsigned>(std::min<index_t>(rows.count, 65535))}, 256, 0, rows.data,
             rows.stride, rows.count, rows.length, device_pointer<int>(ids), index_t{0}, temperature, device_pointer<float>(lse), g.scale,
             scales.defined() ? device_pointer<float>(scales) : nullptr, device_pointer<T>(grad_logits));
    };
    if (rows.is_vectorisable() && Rows<T>(grad_logits).is_vectorisable()) return run(std::integral_constant<int, kVectorWidth<T>>{});
    run(std::integral_constant<int, 1>{});
  });
  Tensor grad_rows = g.hidden->rows(first, end);
  op_table(ctx).linear_backward_weight(ctx, grad_logits, hidden.rows(first, end), *g.weight, nullptr,
                                       first > 0 ? Accumulate::kYes : g.accumulate_weight);
  op_table(ctx).linear_backward_input(ctx, grad_logits, weight, grad_rows, Accumulate::kNo);
}

}  // namespace

void linear_cross_entropy(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& labels, Tensor& token_loss,
                          Tensor& is_correct, const std::optional<CrossEntropyGradients>& gradients, std::size_t workspace_bytes) {
  const std::int64_t T = hidden.dim(0);
  if (T == 0) {
    if (gradients && gradients->accumulate_weight == Accumulate::kNo) fill(ctx, *gradients->weight, 0);
    return;
  }
  for_each_chunk(ctx, hidden, weight, workspace_bytes, [&](std::int64_t first, std::int64_t end, const Tensor& logits) {
    const Tensor states = make_row_states(ctx, end - first), lse = ctx.empty({end - first}), ids = part(labels, first, end),
                 losses = part(token_loss, first, end), correct = part(is_correct, first, end);
    take_logits(ctx, logits, ids, 0, 1.0F, nullptr, states);
    write_results(ctx, states, ids, {-1.0F, &losses, &correct, nullptr, &lse});
    if (!gradients) return;
    chunk_gradients(ctx, hidden, weight, ids, lse, 1.0F, first, logits,
                    {gradients->scale, nullptr, gradients->hidden, gradients->weight, gradients->accumulate_weight});
  });
}

void selected_log_probs(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, float temperature,
                        Tensor& log_probs, Tensor* entropy, Tensor* lse, std::size_t workspace_bytes) {
  if (hidden.dim(0) == 0) return;
  for_each_chunk(ctx, hidden, weight, workspace_bytes, [&](std::int64_t first, std::int64_t end, const Tensor& logits) {
    const Tensor states = make_row_states(ctx, end - first), chunk_ids = part(ids, first, end),
                 chunk_log_probs = part(log_probs, first, end);
    const Tensor chunk_entropy = entropy != nullptr ? part(*entropy, first, end) : Tensor(),
                 chunk_lse = lse != nullptr ? part(*lse, first, end) : Tensor();
    take_logits(ctx, logits, chunk_ids, 0, temperature, nullptr, states);
    write_results(ctx, states, chunk_ids,
                  {1.0F, &chunk_log_probs, nullptr, entropy != nullptr ? &chunk_entropy : nullptr, lse != nullptr ? &chunk_lse : nullptr});
  });
}

void selected_log_probs_backward(const ExecContext& ctx, const Tensor& grad_log_probs, const Tensor& hidden, const Tensor& weight,
                                 const Tensor& ids, float temperature, const Tensor& lse, Tensor& grad_hidden, Tensor& grad_weight,
                                 Accumulate accumulate_weight, std::size_t workspace_bytes) {
  if (hidden.dim(0) == 0) {
    if (accumulate_weight == Accumulate::kNo) fill(ctx, grad_weight, 0);
    return;
  }
  for_each_chunk(ctx, hidden, weight, workspace_bytes, [&](std::int64_t first, std::int64_t end, const Tensor& logits) {
    chunk_gradients(ctx, hidden, weight, part(ids, first, end), part(lse, first, end), temperature, first, logits,
                    {1.0F, &grad_log_probs, &grad_hidden, &grad_weight, accumulate_weight});
  });
}

void log_probs_of_logits(const ExecContext& ctx, const Tensor& logits, const Tensor& ids, float temperature, Tensor& log_probs,
                         Tensor* entropy) {
  if (logits.dim(0) == 0) return;
  const Tensor states = make_row_states(ctx, logits.dim(0));
  take_logits(ctx, logits, ids, 0, temperature, nullptr, states);
  write_results(ctx, states, ids, {1.0F, &log_probs, nullptr, entropy, nullptr});
}

}  // namespace r1::ops::R1_CUDA_NAMESPACE
