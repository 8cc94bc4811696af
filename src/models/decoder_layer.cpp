#include "models/decoder_layer.h"

#include <fmt/format.h>

#include "nn/tensor_parallel.h"

namespace r1::models {

DecoderModel::DecoderModel(ModelConfig model_config, ModelPart model_part, LayerFeatures features)
    : CausalLM(std::move(model_config), model_part), features_(features) {
  const ModelConfig& c = config();
  const auto share = [&](std::int64_t total) { return OutFeatures{total, even_share(total, part().tensor_rank, part().tensor_size)}; };
  const OutFeatures inner = share(c.intermediate_size);
  declare_embedding();
  for (int i = 0; i < num_layers(); ++i) {
    begin_layer(i);
    DecoderLayer& p = layers_.emplace_back();
    p.input_layernorm = declare_norm(i, "input_layernorm", c.hidden_size);
    declare_attention(i, p);
    p.post_attention_layernorm = declare_norm(i, "post_attention_layernorm", c.hidden_size);
    p.gate_up_proj = declare_linear(i, {"mlp.gate_proj", "mlp.up_proj"}, {inner, inner}, c.hidden_size, features.mlp_bias, false);
    p.down_proj = declare_linear(i, {"mlp.down_proj"}, {share(c.hidden_size)}, c.intermediate_size, features.mlp_bias, true);
  }
  declare_head();
}

void DecoderModel::declare_attention(int layer_index, DecoderLayer& p) {
  const ModelConfig& c = config();
  const HeadShare share = head_share(c, part().tensor_rank, part().tensor_size);
  const auto features_of = [&](int num_heads, IndexRange here) {
    return OutFeatures{std::int64_t{num_heads} * c.head_dim, {here.begin * c.head_dim, here.end * c.head_dim}};
  };
  const OutFeatures query = features_of(c.num_attention_heads, share.query), key = features_of(c.num_key_value_heads, share.key_value);
  const bool bias = features_.qkv_bias;
  if (features_.qk_norm) {
    p.q_proj = declare_linear(layer_index, {"self_attn.q_proj"}, {query}, c.hidden_size, bias, false);
    p.k_proj = declare_linear(layer_index, {"self_attn.k_proj"}, {key}, c.hidden_size, bias, false);
    p.v_proj = declare_linear(layer_index, {"self_attn.v_proj"}, {key}, c.hidden_size, bias, false);
    p.q_norm = declare_norm(layer_index, "self_attn.q_norm", c.head_dim);
    p.k_norm = declare_norm(layer_index, "self_attn.k_norm", c.head_dim);
  } else {
    p.qkv_proj = declare_linear(layer_index, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, {query, key, key}, c.hidden_size,
                                bias, false);
  }
  p.o_proj = declare_linear(layer_index, {"self_attn.o_proj"},
                            {{c.hidden_size, even_share(c.hidden_size, part().tensor_rank, part().tensor_size)}}, query.total,
                            features_.o_bias, true);
}

nn::PackedParameter DecoderModel::declare_norm(int layer_index, const char* module, std::int64_t width) {
  return nn::PackedParameter(declare_in_layer(layer_index, fmt::format("{}.weight", module).c_str(), {width}, {nn::Init::Kind::kOnes}));
}

nn::Linear DecoderModel::declare_linear(int layer_index, const std::vector<const char*>& modules,
                                        const std::vector<OutFeatures>& out_features, std::int64_t in_features, bool bias,
                                        bool is_residual_output) {
  const nn::TpAxis axis = is_residual_output ? nn::TpAxis::kInput : nn::TpAxis::kOutput;
  std::vector<nn::Parameter*> weights, biases;
  for (std::size_t m = 0; m < modules.size(); ++m) {
    weights.push_back(&declare_in_layer(layer_index, fmt::format("{}.weight", modules[m]).c_str(), {out_features[m].total, in_features},
                                        out_features[m].here, projection_init(in_features, is_residual_output), axis));
  }
  for (std::size_t m = 0; bias && m < modules.size(); ++m) {
    biases.push_back(&declare_in_layer(layer_index, fmt::format("{}.bias", modules[m]).c_str(), {out_features[m].total},
                                       out_features[m].here, {nn::Init::Kind::kZeros},
                                       is_residual_output ? nn::TpAxis::kReplicated : axis));
  }
  return {nn::PackedParameter(std::move(weights)), bias ? nn::PackedParameter(std::move(biases)) : nn::PackedParameter()};
}

nn::Var DecoderModel::attend(nn::Pass& pass, int layer_index, const nn::Var& x, const TokenBatch& batch) {
  const DecoderLayer& p = layers_[static_cast<std::size_t>(layer_index)];
  const ModelConfig& c = config();
  const ops::AttentionHeads here = heads();
  if (!features_.qk_norm) {
    const nn::Var qkv = nn::linear(pass, x, p.qkv_proj);
    const nn::Var rotated =
        nn::rope(pass, qkv, batch.position_ids, rotary(), here.num_attention_heads + here.num_key_value_heads, c.head_dim);
    return nn::attention(pass, rotated, batch.attention, here, layer_index);
  }
  const auto normed_heads = [&](const nn::Linear& projection, const nn::PackedParameter& norm, int num_heads) {
    const nn::Var projected = nn::linear(pass, x, projection);
    const Shape flat = projected.value.shape();
    const nn::Var per_head = nn::view(pass, projected, {flat[0] * num_heads, c.head_dim});
    const nn::Var normed = nn::view(pass, nn::rms_norm(pass, per_head, norm, c.rms_norm_eps), flat);
    return nn::rope(pass, normed, batch.position_ids, rotary(), num_heads, c.head_dim);
  };
  const nn::Var q = normed_heads(p.q_proj, p.q_norm, here.num_attention_heads);
  const nn::Var k = normed_heads(p.k_proj, p.k_norm, here.num_key_value_heads);
  return nn::attention(pass, q, k, nn::linear(pass, x, p.v_proj), batch.attention, here, layer_index);
}

nn::Activations DecoderModel::layer(nn::Pass& pass, int layer_index, const nn::Activations& in, const TokenBatch& batch) {
  const DecoderLayer& p = layers_[static_cast<std::size_t>(layer_index)];
  const float eps = config().rms_norm_eps;
  const auto [x, residual] = nn::add_rms_norm(pass, in.hidden, in.residual, p.input_layernorm, eps);
  // Tensor-parallel: each projection's output features are spread over the ranks, and whatever follows reads all of them.
  const nn::Var heads_out = nn::gathered(pass, attend(pass, layer_index, x, batch), widths().attention, "attention");
  const nn::Var attended = nn::gathered(pass, nn::linear(pass, heads_out, p.o_proj), widths().hidden, "o_proj");
  const auto [y, residual2] = nn::add_rms_norm(pass, attended, residual, p.post_attention_layernorm, eps);
  const nn::Var inner = nn::gathered(pass, nn::linear_swiglu(pass, y, p.gate_up_proj), widths().intermediate, "gate_up_proj");
  return {nn::gathered(pass, nn::linear(pass, inner, p.down_proj), widths().hidden, "down_proj"), residual2};
}

}  // namespace r1::models
