#include "models/decoder_layer.h"

#include <fmt/format.h>

namespace r1::models {

DecoderModel::DecoderModel(ModelConfig model_config, LayerFeatures features) : CausalLM(std::move(model_config)), features_(features) {
  const ModelConfig& c = config();
  declare_embedding();
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    begin_layer(i);
    DecoderLayer& p = layers_.emplace_back();
    p.input_layernorm = declare_norm(i, "input_layernorm", c.hidden_size);
    declare_attention(i, p);
    p.post_attention_layernorm = declare_norm(i, "post_attention_layernorm", c.hidden_size);
    p.gate_up_proj = declare_linear(i, {"mlp.gate_proj", "mlp.up_proj"}, {c.intermediate_size, c.intermediate_size}, c.hidden_size,
                                    features.mlp_bias, false);
    p.down_proj = declare_linear(i, {"mlp.down_proj"}, {c.hidden_size}, c.intermediate_size, features.mlp_bias, true);
  }
  declare_head();
}

void DecoderModel::declare_attention(int layer_index, DecoderLayer& p) {
  const ModelConfig& c = config();
  const std::int64_t query = std::int64_t{c.num_attention_heads} * c.head_dim;
  const std::int64_t key = std::int64_t{c.num_key_value_heads} * c.head_dim;
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
  p.o_proj = declare_linear(layer_index, {"self_attn.o_proj"}, {c.hidden_size}, query, features_.o_bias, true);
}

nn::PackedParameter DecoderModel::declare_norm(int layer_index, const char* module, std::int64_t width) {
  return nn::PackedParameter(declare_in_layer(layer_index, fmt::format("{}.weight", module).c_str(), {width}, {nn::Init::Kind::kOnes}));
}

nn::Linear DecoderModel::declare_linear(int layer_index, std::vector<const char*> modules, std::vector<std::int64_t> out_features,
                                        std::int64_t in_features, bool bias, bool is_residual_output) {
  const nn::TpAxis axis = is_residual_output ? nn::TpAxis::kInput : nn::TpAxis::kOutput;
  std::vector<nn::Parameter*> weights, biases;
  for (std::size_t m = 0; m < modules.size(); ++m) {
    weights.push_back(&declare_in_layer(layer_index, fmt::format("{}.weight", modules[m]).c_str(), {out_features[m], in_features},
                                        projection_init(in_features, is_residual_output), axis));
  }
  for (std::size_t m = 0; bias && m < modules.size(); ++m) {
    biases.push_back(&declare_in_layer(layer_index, fmt::format("{}.bias", modules[m]).c_str(), {out_features[m]}, {nn::Init::Kind::kZeros},
                                       is_residual_output ? nn::TpAxis::kReplicated : axis));
  }
  return {nn::PackedParameter(std::move(weights)), bias ? nn::PackedParameter(std::move(biases)) : nn::PackedParameter()};
}

nn::Var DecoderModel::attend(nn::Pass& pass, int layer_index, const nn::Var& x, const TokenBatch& batch) {
  const DecoderLayer& p = layers_[static_cast<std::size_t>(layer_index)];
  const ModelConfig& c = config();
  if (!features_.qk_norm) {
    const nn::Var qkv = nn::linear(pass, x, p.qkv_proj);
    const nn::Var rotated = nn::rope(pass, qkv, batch.position_ids, rotary(), c.num_attention_heads + c.num_key_value_heads, c.head_dim);
    return nn::attention(pass, rotated, batch.attention, heads(), layer_index);
  }
  const auto normed_heads = [&](const nn::Linear& projection, const nn::PackedParameter& norm, int num_heads) {
    const nn::Var projected = nn::linear(pass, x, projection);
    const Shape flat = projected.value.shape();
    const nn::Var per_head = nn::view(pass, projected, {flat[0] * num_heads, c.head_dim});
    const nn::Var normed = nn::view(pass, nn::rms_norm(pass, per_head, norm, c.rms_norm_eps), flat);
    return nn::rope(pass, normed, batch.position_ids, rotary(), num_heads, c.head_dim);
  };
  const nn::Var q = normed_heads(p.q_proj, p.q_norm, c.num_attention_heads);
  const nn::Var k = normed_heads(p.k_proj, p.k_norm, c.num_key_value_heads);
  return nn::attention(pass, q, k, nn::linear(pass, x, p.v_proj), batch.attention, heads(), layer_index);
}

nn::Activations DecoderModel::layer(nn::Pass& pass, int layer_index, const nn::Activations& in, const TokenBatch& batch) {
  const DecoderLayer& p = layers_[static_cast<std::size_t>(layer_index)];
  const float eps = config().rms_norm_eps;
  const auto [x, residual] = nn::add_rms_norm(pass, in.hidden, in.residual, p.input_layernorm, eps);
  const nn::Var attended = nn::linear(pass, attend(pass, layer_index, x, batch), p.o_proj);
  const auto [y, residual2] = nn::add_rms_norm(pass, attended, residual, p.post_attention_layernorm, eps);
  return {nn::linear(pass, nn::swiglu(pass, nn::linear(pass, y, p.gate_up_proj)), p.down_proj), residual2};
}

}  // namespace r1::models
