// One differentiable function per op: runs the op and, under a tape, records its backward function.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/attention_context.h"
#include "nn/parameter.h"
#include "nn/rotary.h"
#include "nn/unit_runner.h"

namespace r1::nn {

/// A projection: weight [out_features, in_features] and an optional bias, each one parameter or several packed ones.
struct Linear {
  PackedParameter weight;
  PackedParameter bias;  // may be undefined
};

/// weight[ids]; ids [num_tokens] i32.
Var embedding(Pass& pass, const Tensor& ids, const PackedParameter& weight);

/// x · weight^T (+ bias). Saves x, or the way to make it again.
Var linear(Pass& pass, const Var& x, const Linear& layer);

Var rms_norm(Pass& pass, const Var& x, const PackedParameter& weight, float eps);

struct NormedResidual {
  Var normed;
  Var sum;  // x + residual: the residual stream behind this point
};
/// rms_norm(x + residual). Without a residual (the first layer) the sum is x itself. Saves the sum and its rstd. The normed value can be
/// made again (selective recompute).
NormedResidual add_rms_norm(Pass& pass, const Var& x, const Var& residual, const PackedParameter& weight, float eps);

/// Rotates the first num_heads heads of x in place: x must not be saved by the op that made it. Saves nothing of its own.
Var rope(Pass& pass, Var x, const Tensor& position_ids, const Rotary& rotary, int num_heads, int head_dim);

/// Causal attention on the fused projection qkv [num_tokens, (Hq + 2 Hkv) * D]: all query heads, then key heads, then value
/// heads. Returns [num_tokens, Hq * D]. Saves qkv, the output and lse. layer_index names the layer's part of a paged cache, which is
/// for passes without a tape.
Var attention(Pass& pass, const Var& qkv, const AttentionContext& context, const ops::AttentionHeads& heads, int layer_index);

/// The same on separate projections q [num_tokens, Hq * D], k and v [num_tokens, Hkv * D].
Var attention(Pass& pass, const Var& q, const Var& k, const Var& v, const AttentionContext& context, const ops::AttentionHeads& heads,
              int layer_index);

/// The same elements under another shape.
Var view(Pass& pass, const Var& x, const Shape& shape);

/// silu(gate) * up on the fused projection [num_tokens, 2 * intermediate_size]. Saves its input, and overwrites it in the
/// backward pass. The result can be made again (selective recompute).
Var swiglu(Pass& pass, const Var& gate_up);

/// swiglu(linear(x)), in one op where nothing is kept for a backward pass and the layer has neither a bias nor weights in 8 bits.
Var linear_swiglu(Pass& pass, const Var& x, const Linear& layer);

struct TokenLoss {
  Tensor token_loss;  // [num_tokens] f32, 0 where the label is ignored
  Tensor is_correct;  // [num_tokens] f32
};
/// Cross entropy of the head's logits; under a tape the gradients of scale * sum(token_loss) are computed in the same pass.
/// labels [num_tokens] i32, already shifted.
TokenLoss linear_cross_entropy(Pass& pass, const Var& hidden, const PackedParameter& weight, const Tensor& labels, float scale);

struct SelectedLogProbs {
  Var log_probs;   // [num_tokens] f32, 0 where the id is ignored
  Tensor entropy;  // [num_tokens] f32, without gradient
};
/// log softmax(logits / temperature)[ids]. Saves hidden and lse; logits are computed again in the backward pass.
SelectedLogProbs selected_log_probs(Pass& pass, const Var& hidden, const PackedParameter& weight, const Tensor& ids, float temperature);

}  // namespace r1::nn
