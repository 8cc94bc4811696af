// The head of the model fused with what is wanted of its logits, so that [num_tokens, vocab_size] never exists as a whole.
#pragma once

#include <optional>

#include "ops/types.h"

namespace r1::ops {

/// Gradients that linear_cross_entropy computes in the same pass over the logits.
struct CrossEntropyGradients {
  float scale = 1;           // d(total loss)/d(token loss), the same for every labelled token
  Tensor* hidden = nullptr;  // [T, H] f32, overwritten (0 for rows without a label)
  Tensor* weight = nullptr;  // [V, H] f32
  Accumulate accumulate_weight = Accumulate::kNo;
};

/// Next-token cross entropy of the logits hidden · weight^T.
///
/// hidden     [T, H] f32, rows may have a stride
/// weight     [V, H] f32: lm_head, or the tied embedding
/// labels     [T]    i32, the token that position t predicts (already shifted), kIgnoreIndex = does not count
/// token_loss [T]    f32: -log p(label), 0 where ignored
/// is_correct [T]    f32: 1 where argmax = label (ties: the lowest id), else 0
/// Works on chunks of rows; at most workspace_bytes of logits exist at a time (0 = a default of 64 MiB, on CUDA 1.25 GiB).
/// Order of sums (cpu): the logits as linear(); log-softmax over blocks of 1,024 ids, ascending (see ops/cpu/log_softmax.h);
/// gradients as linear_backward_input and linear_backward_weight over the rows that have a label, in ascending order: the
/// others are no part of any sum. Chunking changes no bit.
/// Runs on: reference, cpu, cuda.
void linear_cross_entropy(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& labels, Tensor& token_loss,
                          Tensor& is_correct, const std::optional<CrossEntropyGradients>& gradients, std::size_t workspace_bytes = 0);

/// log softmax(logits / temperature)[id] of chosen tokens, and the entropy of that distribution.
///
/// hidden [T, H] as above; weight [V, H] f32, or bf16 with the bits of its values in f32; ids [T] i32, kIgnoreIndex gives 0
/// log_probs [T] f32; entropy [T] f32 optional (nats); lse [T] f32 optional: saved for the backward pass
/// The same log-softmax function as linear_cross_entropy and the sampler: equal bits for equal hidden rows.
void selected_log_probs(const ExecContext& ctx, const Tensor& hidden, const Tensor& weight, const Tensor& ids, float temperature,
                        Tensor& log_probs, Tensor* entropy, Tensor* lse, std::size_t workspace_bytes = 0);

/// Gradients for grad_log_probs [T] f32 (the entropy carries none); logits are computed again chunk by chunk.
void selected_log_probs_backward(const ExecContext& ctx, const Tensor& grad_log_probs, const Tensor& hidden, const Tensor& weight,
                                 const Tensor& ids, float temperature, const Tensor& lse, Tensor& grad_hidden, Tensor& grad_weight,
                                 Accumulate accumulate_weight, std::size_t workspace_bytes = 0);

/// log_probs[t] = log softmax(logits[t] / temperature)[ids[t]] for logits that exist already (the engine's sampler).
/// logits [T, V] f32, rows may have a stride; ids [T] i32; entropy optional.
void log_probs_of_logits(const ExecContext& ctx, const Tensor& logits, const Tensor& ids, float temperature, Tensor& log_probs,
                         Tensor* entropy);

}  // namespace r1::ops
