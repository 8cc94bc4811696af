// From logits to the next token.
#pragma once

#include <span>

#include "ops/types.h"

namespace r1::ops {

/// Settings of one row, with Hugging Face's meaning.
struct SamplingSettings {
  float temperature = 1;         // 0 = greedy: the highest score after the penalty, ties: the lowest id
  std::int32_t top_k = 0;        // 0 = off; scores equal to the k-th stay
  float top_p = 1;               // keeps the most likely ids until their sum reaches it; at least one; ties: the lowest ids first
  float min_p = 0;               // drops ids less likely than min_p * the most likely one
  float repetition_penalty = 1;  // scores of seen ids: divided when positive, multiplied when negative
};

/// Chooses one token per row. Order of processing: repetition penalty, temperature, top_k, top_p, min_p, softmax; then the
/// inverse of the cumulative distribution over the kept ids in ascending order.
///
/// logits       [num_rows, vocab_size] f32, rows may have a stride; not changed
/// settings     one per row
/// seen_ids     [num_seen] i32, seen_offsets [num_rows + 1] i32: ids of the row's prompt and completion so far are
///              seen_ids[seen_offsets[r] .. seen_offsets[r + 1]); repeated ids count once; may be empty without a penalty
/// uniforms     [num_rows] f32 in [0, 1): token_uniform of base/rng.h
/// ids          [num_rows] i32
/// log_probs    [num_rows] f32, optional: log_softmax(logits / temperature)[id] before penalty and filters, by the function
///              behind selected_log_probs; a greedy row takes temperature 1
/// Throws Error(kShape), Error(kDType), Error(kInternal) for settings out of range. A row depends on itself alone.
/// Source: transformers' LogitsProcessor classes (fixtures/generation/sampling). Runs on: reference, cpu, cuda.
void sample(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings, const Tensor& seen_ids,
            const Tensor& seen_offsets, const Tensor& uniforms, Tensor& ids, Tensor* log_probs = nullptr);

/// The distribution that sample() draws from: probabilities [num_rows, vocab_size] f32 contiguous, 0 where filtered. A greedy row is 1 at
/// its choice.
void sampling_probabilities(const ExecContext& ctx, const Tensor& logits, std::span<const SamplingSettings> settings,
                            const Tensor& seen_ids, const Tensor& seen_offsets, Tensor& probabilities);

}  // namespace r1::ops
