// T rows, H hidden_size, V vocab_size.
//
// Rows without an id take no part: the others are gathered, so that no product is computed for them. Chunks of these rows:
// logits = hidden · weight^T, then row by row the statistics and, in place, the gradients of the logits, then the products
// with weight and with hidden. The chains of grad_weight go on from chunk to chunk.
#include "ops/loss.h"

#include <cstring>

#include "ops/cpu/kernels.h"
#include "ops/cpu/rows.h"
#include "ops/cpu/scratch.h"

#include "ops/cpu/log_softmax.h"

namespace r1::ops::R1_CPU_NAMESPACE {
namespace {

constexpr std::size_t kDefaultWorkspaceBytes = std::size_t{64} << 20;

/// Rows that take part, a chunk of them at a time.
struct HeadRows {
  HeadRows(const ExecContext& ctx, const Tensor& ids) : index(ctx, ids.dim(0) + 1) {
    const auto* id = raw<std::int32_t>(ids);
    for (std::int64_t t = 0; t < ids.dim(0); ++t) {
      if (id[t] != kIgnoreIndex) index[count++] = t;
    }
  }
  /// The rows of the chunk are neighbours in the whole.
  bool are_consecutive(std::int64_t begin, std::int64_t end) const { return index[end - 1] - index[begin] == end - 1 - begin; }

  Scratch<std::int64_t> index;
  std::int64_t count = 0;
};

void copy_row(float* to, const float* from, std::int64_t H) { std::memcpy(to, from, static_cast<std::size_t>(H) * sizeof(float)); }

Tensor gathered(const ExecContext& ctx, const Tensor& x, const HeadRows& rows, std::int64_t begin, std::int64_t end) {
  if (rows.are_consecutive(begin, end)) return x.rows(rows.index[begin], rows.index[end - 1] + 1);
  Tensor result = ctx.empty({end - begin, x.dim(1)});
  for (std::int64_t i = begin; i < end; ++i) copy_row(row(result, i - begin), row(x, rows.index[i]), x.dim(1));
  return result;
}

struct HeadGradients {
  Tensor* hidden;
  Tensor* weight;
  Accumulate accumulate_weight;
};

/// For each chunk: logits, then per_row(logits of the row, t) in parallel, then the gradients if asked for (per_row has
/// then turned the logits into their gradients).
template <typename PerRow>
void for_each_logits_row(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, std::size_t workspace_bytes,
                         const HeadGradients* gradients, PerRow&& per_row) {
  const std::int64_t V = weight.dim(0);
  const HeadRows rows(ctx, ids);
  if (gradients != nullptr && rows.count < ids.dim(0)) fill(ctx, *gradients->hidden, 0);
  if (rows.count == 0) {
    if (gradients != nullptr && gradients->accumulate_weight == Accumulate::kNo) fill(ctx, *gradients->weight, 0);
    return;
  }
  const std::size_t bytes = workspace_bytes > 0 ? workspace_bytes : kDefaultWorkspaceBytes;
  const std::int64_t rows_at_once =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(bytes / (static_cast<std::size_t>(V) * sizeof(float))));
  const std::int64_t num_chunks = (rows.count + rows_at_once - 1) / rows_at_once;
  const Tensor workspace = ctx.empty({(rows.count + num_chunks - 1) / num_chunks, V});
  for (std::int64_t chunk = 0; chunk < num_chunks; ++chunk) {
    const std::int64_t begin = rows.count * chunk / num_chunks, end = rows.count * (chunk + 1) / num_chunks;
    const Tensor chunk_hidden = gathered(ctx, hidden, rows, begin, end);
    Tensor logits = workspace.rows(0, end - begin);
    linear(ctx, chunk_hidden, weight, nullptr, logits);
    ctx.threads().parallel_for(
        end - begin,
        [&](std::int64_t first, std::int64_t last, int) {
          for (std::int64_t i = first; i < last; ++i) per_row(row(logits, i), rows.index[begin + i]);
        },
        rows_worth_a_thread(V * 4));
    if (gradients == nullptr) continue;
    const Accumulate accumulate = chunk > 0 ? Accumulate::kYes : gradients->accumulate_weight;
    R1_CPU_NAMESPACE::linear_backward_weight(ctx, logits, chunk_hidden, *gradients->weight, nullptr, accumulate);
    if (rows.are_consecutive(begin, end)) {
      Tensor grad_rows = gradients->hidden->rows(rows.index[begin], rows.index[end - 1] + 1);
      R1_CPU_NAMESPACE::linear_backward_input(ctx, logits, weight, grad_rows, Accumulate::kNo);
    } else {
      Tensor grad_rows = ctx.empty({end - begin, hidden.dim(1)});
      R1_CPU_NAMESPACE::linear_backward_input(ctx, logits, weight, grad_rows, Accumulate::kNo);
      for (std::int64_t i = begin; i < end; ++i) copy_row(row(*gradients->hidden, rows.index[i]), row(grad_rows, i - begin), hidden.dim(1));
    }
  }
}

}  // namespace

void linear_cross_entropy(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& labels, Tensor& token_loss,
                          Tensor& is_correct, const std::optional<CrossEntropyGradients>& gradients, std::size_t workspace_bytes) {
  fill(ctx, token_loss, 0);
  fill(ctx, is_correct, 0);
  const auto* label = raw<std::int32_t>(labels);
  const std::int64_t V = weight.dim(0);
  HeadGradients head{};
  if (gradients) head = {gradients->hidden, gradients->weight, gradients->accumulate_weight};
  for_each_logits_row(ctx, hidden, weight, labels, workspace_bytes, gradients ? &head : nullptr, [&](float* logits, std::int64_t t) {
    const LogSoftmaxStats stats = log_softmax_stats(logits, V, 1.0F, false);
    *row(token_loss, t) = -stats.log_prob(logits[label[t]]);
    *row(is_correct, t) = is_argmax(logits, stats.largest, label[t]) ? 1.0F : 0.0F;
    if (gradients) cross_entropy_gradient(logits, V, 1.0F, static_cast<float>(stats.lse()), label[t], gradients->scale);
  });
}

void selected_log_probs(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, float temperature,
                        Tensor& log_probs, Tensor* entropy, Tensor* lse, std::size_t workspace_bytes) {
  fill(ctx, log_probs, 0);
  if (entropy != nullptr) fill(ctx, *entropy, 0);
  if (lse != nullptr) fill(ctx, *lse, 0);
  const auto* id = raw<std::int32_t>(ids);
  const std::int64_t V = weight.dim(0);
  for_each_logits_row(ctx, hidden, weight, ids, workspace_bytes, nullptr, [&](float* logits, std::int64_t t) {
    const LogSoftmaxStats stats = log_softmax_stats(logits, V, temperature, entropy != nullptr);
    *row(log_probs, t) = stats.log_prob(logits[id[t]] / temperature);
    if (entropy != nullptr) *row(*entropy, t) = stats.entropy();
    if (lse != nullptr) *row(*lse, t) = static_cast<float>(stats.lse());
  });
}

void selected_log_probs_backward(const ExecContext& ctx, const Tensor& grad_log_probs, const Tensor& hidden, const Tensor& weight,
                                 const Tensor& ids, float temperature, const Tensor& lse, Tensor& grad_hidden, Tensor& grad_weight,
                                 Accumulate accumulate_weight, std::size_t workspace_bytes) {
  const auto* id = raw<std::int32_t>(ids);
  const std::int64_t V = weight.dim(0);
  const HeadGradients head{&grad_hidden, &grad_weight, accumulate_weight};
  for_each_logits_row(ctx, hidden, weight, ids, workspace_bytes, &head, [&](float* logits, std::int64_t t) {
    cross_entropy_gradient(logits, V, temperature, *row(lse, t), id[t], -(*row(grad_log_probs, t) / temperature));
  });
}

void log_probs_of_logits(const ExecContext& ctx, const Tensor& logits, const Tensor& ids, float temperature, Tensor& log_probs,
                         Tensor* entropy) {
  const auto* id = raw<std::int32_t>(ids);
  const std::int64_t V = logits.dim(1);
  ctx.threads().parallel_for(
      logits.dim(0),
      [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t t = begin; t < end; ++t) {
          *row(log_probs, t) = 0;
          if (entropy != nullptr) *row(*entropy, t) = 0;
          if (id[t] == kIgnoreIndex) continue;
          const LogSoftmaxStats stats = log_softmax_stats(row(logits, t), V, temperature, entropy != nullptr);
          *row(log_probs, t) = stats.log_prob(row(logits, t)[id[t]] / temperature);
          if (entropy != nullptr) *row(*entropy, t) = stats.entropy();
        }
      },
      rows_worth_a_thread(V * 4));
}

}  // namespace r1::ops::R1_CPU_NAMESPACE
