#include "nn/functions.h"

#include <array>
#include <memory>
#include <optional>

#include "nn/saved_input.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/norm.h"
#include "ops/paged_attention.h"

namespace r1::nn {
namespace {

Var output(Pass& pass, Tensor value) { return pass.tape != nullptr ? pass.tape->variable(std::move(value)) : Var{std::move(value), -1}; }

/// Of a result that is cheap to make again; null where it is to be kept. Called in the backward pass, when the unit's values are there.
std::shared_ptr<Rebuild> rebuild_if_selective(const Pass& pass, std::function<Tensor()> make) {
  if (pass.tape == nullptr || !pass.runner.recomputes_selectively()) return nullptr;
  return std::make_shared<Rebuild>(std::move(make));
}

/// An op's result has the dtype of its input.
Tensor empty_like(const ExecContext& ctx, const Shape& shape, const Tensor& input) { return ctx.empty(shape, input.dtype()); }
Tensor empty_like(const ExecContext& ctx, const Tensor& input) { return empty_like(ctx, input.shape(), input); }

struct QkvViews {
  Tensor q, k, v;
};

QkvViews split_qkv(const Tensor& qkv, const ops::AttentionHeads& heads) {
  const std::int64_t query = std::int64_t{heads.num_attention_heads} * heads.head_dim;
  const std::int64_t key = std::int64_t{heads.num_key_value_heads} * heads.head_dim;
  return {qkv.cols(0, query), qkv.cols(query, query + key), qkv.cols(query + key, query + 2 * key)};
}

ops::AttentionHeads with_length(ops::AttentionHeads heads, const AttentionContext& context) {
  heads.longest_sequence = context.longest_sequence;
  return heads;
}

struct AttentionOutput {
  Var out;
  Tensor lse;  // under a tape only
};

/// Sequences that begin in the batch among themselves, those before them through the cache.
void attend_fresh(const ExecContext& ctx, const QkvViews& views, const PagedCache& cache, const Tensor& keys, const Tensor& values,
                  ops::AttentionHeads heads, const Tensor& out) {
  const std::int64_t first = cache.fresh.first_token, end = views.q.dim(0);
  if (first > 0) {
    const std::int64_t num_cached = cache.fresh.cached_cu_seqlens.dim(0) - 1;
    Tensor cached_out = out.rows(0, first);
    ops::paged_attention(ctx, views.q.rows(0, first), keys, values, cache.fresh.cached_cu_seqlens,
                         cache.context_lens.slice(0, {num_cached}), cache.block_tables.rows(0, num_cached), heads, cached_out);
  }
  heads.longest_sequence = cache.fresh.longest_sequence;
  Tensor fresh_out = out.rows(first, end);
  ops::attention(ctx, views.q.rows(first, end), views.k.rows(first, end), views.v.rows(first, end), cache.fresh.cu_seqlens, heads,
                 fresh_out);
}

AttentionOutput run_attention(Pass& pass, const QkvViews& views, const AttentionContext& context, const ops::AttentionHeads& heads,
                              int layer_index) {
  const ExecContext& ctx = pass.ctx;
  const std::int64_t num_tokens = views.q.dim(0);
  AttentionOutput result{output(pass, empty_like(ctx, {num_tokens, std::int64_t{heads.num_attention_heads} * heads.head_dim}, views.q)),
                         {}};
  if (context.cache != nullptr) {
    R1_ASSERT(pass.tape == nullptr, "attention through a paged cache carries no gradient");
    const PagedCache& cache = *context.cache;
    auto [keys, values] = cache.layers.at(static_cast<std::size_t>(layer_index));
    ops::write_kv_cache(ctx, views.k, views.v, cache.slot_mapping, heads, keys, values);
    if (cache.fresh.cu_seqlens.defined()) {
      attend_fresh(ctx, views, cache, keys, values, heads, result.out.value);
    } else {
      ops::paged_attention(ctx, views.q, keys, values, context.cu_seqlens, cache.context_lens, cache.block_tables, heads, result.out.value);
    }
    return result;
  }
  if (pass.tape != nullptr) result.lse = ctx.empty({num_tokens, heads.num_attention_heads});
  ops::attention(ctx, views.q, views.k, views.v, context.cu_seqlens, heads, result.out.value, result.lse.defined() ? &result.lse : nullptr);
  return result;
}

}  // namespace

Var embedding(Pass& pass, const Tensor& ids, const PackedParameter& weight) {
  Var out = output(pass, pass.ctx.empty({ids.dim(0), weight.shape()[1]}, pass.runner.activation_dtype()));
  ops::embedding(pass.ctx, ids, weight.value(), out.value);
  if (pass.tape != nullptr) {
    pass.tape->record({}, [ids, weight, slot = out.slot](Tape& tape) {
      const Tensor grad_out = tape.take_gradient(slot);
      Tensor grad = weight.grad();
      ops::embedding_backward(tape.context(), ids, grad_out, grad, weight.begin_gradient());
    });
  }
  return out;
}

Var linear(Pass& pass, const Var& x, const Linear& layer) {
  const Shape shape = layer.weight.shape();
  Var out = output(pass, empty_like(pass.ctx, {x.value.dim(0), shape[0]}, x.value));
  std::optional<Tensor> bias;
  if (layer.bias.defined()) bias = layer.bias.value();
  if (const Tensor scales = layer.weight.scales(); scales.defined()) {
    R1_ASSERT(pass.tape == nullptr, "a weight in 8 bits carries no gradient");
    const auto op = layer.weight.value().dtype() == DType::kI8 ? ops::linear_int8 : ops::linear_fp8;
    op(pass.ctx, x.value, layer.weight.value(), scales, bias ? &*bias : nullptr, out.value);
    return out;
  }
  ops::linear(pass.ctx, x.value, layer.weight.value(), bias ? &*bias : nullptr, out.value);
  if (pass.tape != nullptr) {
    SavedInput saved(x);
    pass.tape->record({saved.kept()}, [saved, x_slot = x.slot, layer, slot = out.slot](Tape& tape) mutable {
      const Tensor grad_out = tape.take_gradient(slot);
      const Tensor input = saved.take();
      if (x_slot >= 0) {
        auto [grad_x, mode] = tape.gradient_target(x_slot, input);
        ops::linear_backward_input(tape.context(), grad_out, layer.weight.value(), grad_x, mode);
      }
      Tensor grad_weight = layer.weight.grad();
      const ops::Accumulate mode = layer.weight.begin_gradient();
      std::optional<Tensor> grad_bias;
      if (layer.bias.defined()) {
        grad_bias = layer.bias.grad();
        layer.bias.begin_gradient();
      }
      ops::linear_backward_weight(tape.context(), grad_out, input, grad_weight, grad_bias ? &*grad_bias : nullptr, mode);
    });
  }
  return out;
}

Var rms_norm(Pass& pass, const Var& x, const PackedParameter& weight, float eps) {
  return add_rms_norm(pass, x, Var{}, weight, eps).normed;
}

NormedResidual add_rms_norm(Pass& pass, const Var& x, const Var& residual, const PackedParameter& weight, float eps) {
  const ExecContext& ctx = pass.ctx;
  Var normed = output(pass, empty_like(ctx, x.value));
  Tensor rstd;
  if (pass.tape != nullptr) rstd = ctx.empty({x.value.dim(0)});
  Tensor* const saved_rstd = pass.tape != nullptr ? &rstd : nullptr;
  Var sum = x;
  if (residual.defined()) {
    sum = output(pass, empty_like(ctx, x.value));
    ops::add_rms_norm(ctx, x.value, residual.value, weight.value(), eps, sum.value, normed.value, saved_rstd);
  } else {
    ops::rms_norm(ctx, x.value, weight.value(), eps, normed.value, saved_rstd);
  }
  if (pass.tape != nullptr) {
    const auto slots = std::array{normed.slot, sum.slot, x.slot, residual.defined() ? residual.slot : -1};
    pass.tape->record({sum.value, rstd}, [slots, has_residual = residual.defined(), summed = sum.value, rstd, weight](Tape& tape) {
      const auto [normed_slot, sum_slot, x_slot, residual_slot] = slots;
      const Tensor grad_out = tape.take_gradient(normed_slot);
      Tensor grad_weight = weight.grad();
      const ops::Accumulate weight_mode = weight.begin_gradient();
      auto [grad_sum, mode] = tape.gradient_target(sum_slot, summed);
      ops::rms_norm_backward(tape.context(), grad_out, summed, weight.value(), rstd, grad_sum, mode, grad_weight, weight_mode);
      if (has_residual) {
        grad_sum = Tensor();
        const Tensor complete = tape.take_gradient(sum_slot);
        tape.set_gradient(x_slot, complete);
        tape.set_gradient(residual_slot, complete);
      }
    });
    normed.rebuild = rebuild_if_selective(pass, [ctx = &ctx, summed = sum.value, weight, eps] {
      Tensor again = empty_like(*ctx, summed);
      ops::rms_norm(*ctx, summed, weight.value(), eps, again);
      return again;
    });
  }
  return {normed, sum};
}

Var rope(Pass& pass, Var x, const Tensor& position_ids, const Rotary& rotary, int num_heads, int head_dim) {
  ops::rope(pass.ctx, x.value, position_ids, rotary.cos(), rotary.sin(), num_heads, head_dim, rotary.style(), ops::RopeDirection::kForward);
  if (pass.tape != nullptr) {
    Var out = pass.tape->variable(x.value);
    pass.tape->record({}, [position_ids, cos = rotary.cos(), sin = rotary.sin(), style = rotary.style(), num_heads, head_dim,
                           in_slot = x.slot, out_slot = out.slot](Tape& tape) {
      Tensor grad = tape.take_gradient(out_slot);
      ops::rope(tape.context(), grad, position_ids, cos, sin, num_heads, head_dim, style, ops::RopeDirection::kBackward);
      tape.set_gradient(in_slot, grad);
    });
    return out;
  }
  return x;
}

Var attention(Pass& pass, const Var& qkv, const AttentionContext& context, const ops::AttentionHeads& heads_of_layer, int layer_index) {
  const ops::AttentionHeads heads = with_length(heads_of_layer, context);
  const AttentionOutput result = run_attention(pass, split_qkv(qkv.value, heads), context, heads, layer_index);
  if (pass.tape != nullptr) {
    pass.tape->record({qkv.value, result.out.value, result.lse}, [qkv, result, heads, cu_seqlens = context.cu_seqlens](Tape& tape) {
      const Tensor grad_out = tape.take_gradient(result.out.slot);
      Tensor grad_qkv = empty_like(tape.context(), qkv.value);
      const QkvViews saved = split_qkv(qkv.value, heads);
      QkvViews grads = split_qkv(grad_qkv, heads);
      ops::attention_backward(tape.context(), grad_out, saved.q, saved.k, saved.v, result.out.value, result.lse, cu_seqlens, heads, grads.q,
                              grads.k, grads.v);
      grads = {};
      tape.set_gradient(qkv.slot, grad_qkv);
    });
  }
  return result.out;
}

Var attention(Pass& pass, const Var& q, const Var& k, const Var& v, const AttentionContext& context,
              const ops::AttentionHeads& heads_of_layer, int layer_index) {
  const ops::AttentionHeads heads = with_length(heads_of_layer, context);
  const AttentionOutput result = run_attention(pass, {q.value, k.value, v.value}, context, heads, layer_index);
  if (pass.tape != nullptr) {
    pass.tape->record({q.value, k.value, v.value, result.out.value, result.lse},
                      [q, k, v, result, heads, cu_seqlens = context.cu_seqlens](Tape& tape) {
                        const Tensor grad_out = tape.take_gradient(result.out.slot);
                        const ExecContext& ctx = tape.context();
                        Tensor grad_q = empty_like(ctx, q.value), grad_k = empty_like(ctx, k.value), grad_v = empty_like(ctx, v.value);
                        ops::attention_backward(ctx, grad_out, q.value, k.value, v.value, result.out.value, result.lse, cu_seqlens, heads,
                                                grad_q, grad_k, grad_v);
                        tape.set_gradient(q.slot, grad_q);
                        tape.set_gradient(k.slot, grad_k);
                        tape.set_gradient(v.slot, grad_v);
                      });
  }
  return result.out;
}

Var view(Pass& pass, const Var& x, const Shape& shape) {
  Var out = output(pass, x.value.view(shape));
  if (pass.tape != nullptr) {
    pass.tape->record({}, [x, slot = out.slot](Tape& tape) { tape.set_gradient(x.slot, tape.take_gradient(slot).view(x.value.shape())); });
  }
  return out;
}

Var swiglu(Pass& pass, const Var& gate_up) {
  Var out = output(pass, empty_like(pass.ctx, {gate_up.value.dim(0), gate_up.value.dim(1) / 2}, gate_up.value));
  ops::swiglu(pass.ctx, gate_up.value, out.value);
  if (pass.tape != nullptr) {
    pass.tape->record({gate_up.value}, [gate_up, slot = out.slot](Tape& tape) {
      const Tensor grad_out = tape.take_gradient(slot);
      Tensor grad_gate_up = gate_up.value;  // nobody needs the projection any more: its buffer becomes its gradient
      ops::swiglu_backward(tape.context(), grad_out, gate_up.value, grad_gate_up);
      tape.set_gradient(gate_up.slot, grad_gate_up);
    });
    // Its consumer's backward function runs before that of swiglu, which overwrites the projection.
    out.rebuild = rebuild_if_selective(pass, [ctx = &pass.ctx, projection = gate_up.value] {
      Tensor again = empty_like(*ctx, {projection.dim(0), projection.dim(1) / 2}, projection);
      ops::swiglu(*ctx, projection, again);
      return again;
    });
  }
  return out;
}

Var linear_swiglu(Pass& pass, const Var& x, const Linear& layer) {
  if (pass.tape != nullptr || layer.bias.defined() || layer.weight.scales().defined()) return swiglu(pass, linear(pass, x, layer));
  const Tensor weight = layer.weight.value();
  Var out = output(pass, empty_like(pass.ctx, {x.value.dim(0), weight.dim(0) / 2}, x.value));
  ops::linear_swiglu(pass.ctx, x.value, weight, out.value);
  return out;
}

TokenLoss linear_cross_entropy(Pass& pass, const Var& hidden, const PackedParameter& weight, const Tensor& labels, float scale) {
  const ExecContext& ctx = pass.ctx;
  TokenLoss loss{ctx.empty({labels.dim(0)}), ctx.empty({labels.dim(0)})};
  if (pass.tape == nullptr) {
    ops::linear_cross_entropy(ctx, hidden.value, weight.value(), labels, loss.token_loss, loss.is_correct, std::nullopt);
    return loss;
  }
  // The gradient with respect to the logits is known as soon as they are: both products follow while the chunk is warm.
  Tensor grad_hidden = empty_like(ctx, hidden.value);
  Tensor grad_weight = ctx.empty(weight.shape());
  ops::CrossEntropyGradients gradients{scale, &grad_hidden, &grad_weight, ops::Accumulate::kNo};
  ops::linear_cross_entropy(ctx, hidden.value, weight.value(), labels, loss.token_loss, loss.is_correct, gradients);
  pass.tape->record({grad_hidden, grad_weight}, [grad_hidden, grad_weight, weight, slot = hidden.slot](Tape& tape) {
    Tensor grad = weight.grad();
    if (weight.begin_gradient() == ops::Accumulate::kYes) ops::add(tape.context(), grad, grad_weight, grad);
    else ops::copy(tape.context(), grad_weight, grad);
    tape.set_gradient(slot, grad_hidden);
  });
  return loss;
}

SelectedLogProbs selected_log_probs(Pass& pass, const Var& hidden, const PackedParameter& weight, const Tensor& ids, float temperature) {
  const ExecContext& ctx = pass.ctx;
  Var log_probs = output(pass, ctx.empty({ids.dim(0)}));
  Tensor entropy = ctx.empty({ids.dim(0)}), lse = ctx.empty({ids.dim(0)});
  ops::selected_log_probs(ctx, hidden.value, weight.value(), ids, temperature, log_probs.value, &entropy, &lse);
  if (pass.tape != nullptr) {
    pass.tape->record({hidden.value, lse}, [hidden, weight, ids, temperature, lse, slot = log_probs.slot](Tape& tape) {
      const Tensor grad_log_probs = tape.take_gradient(slot);
      Tensor grad_hidden = empty_like(tape.context(), hidden.value);
      Tensor grad_weight = weight.grad();
      ops::selected_log_probs_backward(tape.context(), grad_log_probs, hidden.value, weight.value(), ids, temperature, lse, grad_hidden,
                                       grad_weight, weight.begin_gradient());
      tape.set_gradient(hidden.slot, grad_hidden);
    });
  }
  return {log_probs, entropy};
}

}  // namespace r1::nn
