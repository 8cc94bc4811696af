#include "models/causal_lm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/rope_scaling.h"
#include "nn/tensor_parallel.h"
#include "ops/copy.h"
#include "ops/embedding.h"
#include "ops/linear.h"

namespace r1::models {

TokenBatch make_token_batch(const ExecContext& ctx, std::span<const std::int32_t> input_ids, std::span<const std::int32_t> position_ids,
                            std::span<const std::int64_t> sequence_lengths, std::int64_t vocab_size) {
  R1_ASSERT(input_ids.size() == position_ids.size(), "one position for each token");
  TokenBatch batch;
  for (std::size_t i = 0; i < input_ids.size(); ++i) {
    if (input_ids[i] < 0 || input_ids[i] >= vocab_size) {
      fail(ErrorKind::kData,
           "token id {} at position {} of the batch: expected an id from 0 to {} (vocab_size {}); do tokenizer and model belong together?",
           input_ids[i], i, vocab_size - 1, vocab_size);
    }
    if (position_ids[i] < 0) fail(ErrorKind::kData, "position id {} at token {} of the batch: expected 0 or more", position_ids[i], i);
    batch.num_positions = std::max(batch.num_positions, std::int64_t{position_ids[i]} + 1);
  }
  std::vector<std::int32_t> cu_seqlens{0};
  int longest = 0;
  for (const std::int64_t length : sequence_lengths) {
    cu_seqlens.push_back(cu_seqlens.back() + static_cast<std::int32_t>(length));
    longest = std::max(longest, static_cast<int>(length));
  }
  const auto num_tokens = static_cast<std::int64_t>(input_ids.size());
  R1_ASSERT(cu_seqlens.back() == num_tokens, "sequence lengths must add up to the number of tokens");
  batch.input_ids = ops::to_device(ctx, Tensor::host_from<std::int32_t>(input_ids, {num_tokens}, DType::kI32));
  batch.position_ids = ops::to_device(ctx, Tensor::host_from<std::int32_t>(position_ids, {num_tokens}, DType::kI32));
  batch.attention = nn::AttentionContext::varlen(
      ops::to_device(ctx, Tensor::host_from<std::int32_t>(cu_seqlens, {static_cast<std::int64_t>(cu_seqlens.size())}, DType::kI32)),
      longest);
  return batch;
}

CausalLM::CausalLM(ModelConfig config, ModelPart part)
    : config_(std::move(config)),
      part_(part),
      widths_(gather_widths(config_, part.tensor_size)),
      rotary_(rope_inv_freq(config_), 1.0F, ops::RopeStyle::kHalf) {
  if (part_.end_layer < 0) part_.end_layer = config_.num_hidden_layers;
}

ops::AttentionHeads CausalLM::heads() const {
  const HeadShare share = head_share(config_, part_.tensor_rank, part_.tensor_size);
  return {static_cast<int>(share.query.size()), static_cast<int>(share.key_value.size()), config_.head_dim,
          1.0F / std::sqrt(static_cast<float>(config_.head_dim))};
}

nn::Init CausalLM::projection_init(std::int64_t fan_in, bool is_residual_output) const {
  return {nn::Init::Kind::kNormal, fan_in, is_residual_output, false};
}

nn::PackedParameter CausalLM::declare_vocabulary(const char* name, nn::Init init) {
  const IndexRange rows = even_share(config_.vocab_size, part_.tensor_rank, part_.tensor_size);
  return nn::PackedParameter(
      parameters_.declare_rows(name, {rows.size(), config_.hidden_size}, rows.begin, config_.vocab_size, init, nn::TpAxis::kVocabulary));
}

void CausalLM::declare_embedding() {
  // The head of a tied model reads the same table.
  if (!has_embedding() && !(has_head() && config_.tie_word_embeddings)) return;
  embedding_unit_ = parameters_.begin_unit("embed_tokens");
  embedding_ = declare_vocabulary("model.embed_tokens.weight", {nn::Init::Kind::kNormal, config_.hidden_size, false, true});
}

std::string CausalLM::layer_name(int layer_index) const { return fmt::format("layers.{}", part_.first_layer + layer_index); }

void CausalLM::begin_layer(int layer_index) { layer_units_.push_back(parameters_.begin_unit(layer_name(layer_index))); }

nn::Parameter& CausalLM::declare_in_layer(int layer_index, const char* suffix, Shape shape, nn::Init init) {
  return parameters_.declare(fmt::format("model.{}.{}", layer_name(layer_index), suffix), shape, init);
}

nn::Parameter& CausalLM::declare_in_layer(int layer_index, const char* suffix, Shape shape, IndexRange rows, nn::Init init,
                                          nn::TpAxis tp_axis) {
  const Shape here = shape.rank() == 1 ? Shape{rows.size()} : Shape{rows.size(), shape[1]};
  return parameters_.declare_rows(fmt::format("model.{}.{}", layer_name(layer_index), suffix), here, rows.begin, shape[0], init, tp_axis);
}

void CausalLM::declare_head() {
  if (!has_head()) return;
  head_unit_ = parameters_.begin_unit("head");
  final_norm_ = nn::PackedParameter(parameters_.declare("model.norm.weight", {config_.hidden_size}, {nn::Init::Kind::kOnes}));
  if (config_.tie_word_embeddings) {
    head_ = embedding_;
  } else {
    head_ = declare_vocabulary("lm_head.weight", projection_init(config_.hidden_size));
  }
}

nn::Activations CausalLM::decode(nn::Pass& pass, const TokenBatch& batch, const nn::Activations& from_earlier_layers) {
  R1_ASSERT((pass.tensor_parallel == nullptr ? 1 : pass.tensor_parallel->size()) == part_.tensor_size,
            "the pass has other tensor-parallel ranks than the model");
  rotary_.reserve(pass.ctx, batch.num_positions);
  nn::Activations state = from_earlier_layers;
  if (has_embedding()) {
    const int embedding_unit[] = {embedding_unit_};
    state = pass.runner.run(
        embedding_unit, pass, {},
        [&](nn::Pass& inner, const nn::Activations&) {
          if (inner.tensor_parallel == nullptr) return nn::Activations{nn::embedding(inner, batch.input_ids, embedding_), {}};
          const Tensor rows = inner.tensor_parallel->embedding(inner.ctx, batch.input_ids, embedding_.value(), widths_.vocabulary_borders,
                                                               inner.runner.activation_dtype());
          return nn::Activations{{rows, -1}, {}};
        },
        nn::UnitRunner::Recompute::kNever);
  }
  for (int i = 0; i < num_layers(); ++i) {
    const int unit[] = {layer_units_[static_cast<std::size_t>(i)]};
    // The batch outlives the tape: it is captured by value, tensors are shared views.
    state = pass.runner.run(
        unit, pass, state, [this, i, batch](nn::Pass& inner, const nn::Activations& in) { return layer(inner, i, in, batch); },
        nn::UnitRunner::Recompute::kAllowed);
  }
  return state;
}

nn::Var CausalLM::with_head(nn::Pass& pass, const nn::Activations& state, const std::function<nn::Var(nn::Pass&, const nn::Var&)>& body) {
  std::vector<int> units{head_unit_};
  if (config_.tie_word_embeddings) units.push_back(embedding_unit_);
  return pass.runner
      .run(
          units, pass, state,
          [&](nn::Pass& inner, const nn::Activations& in) {
            const nn::Var normed = nn::add_rms_norm(inner, in.hidden, in.residual, final_norm_, config_.rms_norm_eps).normed;
            return nn::Activations{body(inner, normed), {}};
          },
          nn::UnitRunner::Recompute::kNever)
      .hidden;
}

nn::TokenLoss CausalLM::cross_entropy(nn::Pass& pass, const nn::Activations& state, const Tensor& labels, float scale) {
  nn::TokenLoss loss;
  with_head(pass, state, [&](nn::Pass& inner, const nn::Var& normed) {
    loss = nn::linear_cross_entropy(inner, normed, head_, labels, scale);
    return nn::Var{};
  });
  return loss;
}

nn::SelectedLogProbs CausalLM::log_probs(nn::Pass& pass, const nn::Activations& state, const Tensor& ids, float temperature) {
  nn::SelectedLogProbs selected;
  with_head(pass, state, [&](nn::Pass& inner, const nn::Var& normed) {
    selected = nn::selected_log_probs(inner, normed, head_, ids, temperature);
    return selected.log_probs;
  });
  return selected;
}

Tensor CausalLM::logits(nn::Pass& pass, const nn::Activations& state, const Tensor& rows) {
  const auto gathered = [&](const nn::Var& all) {
    if (!all.defined()) return nn::Var{};
    nn::Var some{pass.ctx.empty({rows.dim(0), all.value.dim(1)}, all.value.dtype()), -1};
    ops::embedding(pass.ctx, rows, all.value, some.value);  // a table whose rows are looked up
    return some;
  };
  return logits(pass, {gathered(state.hidden), gathered(state.residual)});
}

Tensor CausalLM::logits(nn::Pass& pass, const nn::Activations& state) {
  Tensor out;
  return head_logits(pass, state, out);
}

void CausalLM::logits_into(nn::Pass& pass, const nn::Activations& state, Tensor& out) {
  R1_ASSERT(pass.tensor_parallel == nullptr, "logits of several ranks are gathered into a tensor of their own");
  head_logits(pass, state, out);
}

Tensor CausalLM::head_logits(nn::Pass& pass, const nn::Activations& state, Tensor& out) {
  R1_ASSERT(pass.tape == nullptr, "logits carry no gradient");
  return with_head(pass, state,
                   [&](nn::Pass& inner, const nn::Var& normed) {
                     if (!out.defined()) out = inner.ctx.empty({normed.value.dim(0), head_.shape()[0]});
                     ops::linear(inner.ctx, normed.value, head_.value(), nullptr, out);
                     if (inner.tensor_parallel == nullptr) return nn::Var{out, -1};
                     return nn::Var{inner.tensor_parallel->gather_columns_at_first(inner.ctx, out, widths_.vocabulary, "logits"), -1};
                   })
      .value;
}

}  // namespace r1::models
