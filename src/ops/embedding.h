// Token embedding.
#pragma once

#include "ops/types.h"

namespace r1::ops {

/// out[t] = weight[ids[t]].
///
/// ids [num_tokens] i32, each in [0, vocab_size) (checked where batches are built); weight [vocab_size, hidden_size] f32 or
/// bf16; out [num_tokens, hidden_size] f32. Runs on: reference, cpu, cuda.
void embedding(const ExecContext& ctx, const Tensor& ids, const Tensor& weight, Tensor& out);

/// grad_weight[ids[t]] += grad_out[t] for t ascending (one addition per element and token). With Accumulate::kNo all of
/// grad_weight is set to zero first.
void embedding_backward(const ExecContext& ctx, const Tensor& ids, const Tensor& grad_out, Tensor& grad_weight, Accumulate accumulate);

}  // namespace r1::ops
