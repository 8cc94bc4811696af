#include "models/decoder_layer.h"

#include <fmt/format.h>

namespace r1::models {

DecoderModel::DecoderModel(ModelConfig model_config, Biases biases) : CausalLM(std::move(model_config)) {
  const ModelConfig& c = config();
  const std::int64_t query = std::int64_t{c.num_attention_heads} * c.head_dim;
  const std::int64_t key = std::int64_t{c.num_key_value_heads} * c.head_dim;
  declare_embedding();
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    begin_layer(i);
    DecoderLayer& p = layers_.emplace_back();
    p.input_layernorm = declare_norm(i, "input_layernorm");
    p.qkv_proj = declare_linear(i, {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, {query, key, key}, c.hidden_size,
                                biases.qkv, false);
    p.o_proj = declare_linear(i, {"self_attn.o_proj"}, {c.hidden_size}, query, biases.o, true);
    p.post_attention_layernorm = declare_norm(i, "post_attention_layernorm");
    p.gate_up_proj =
        declare_linear(i, {"mlp.gate_proj", "mlp.up_proj"}, {c.intermediate_size, c.intermediate_size}, c.hidden_size, biases.mlp, false);
    p.down_proj = declare_linear(i, {"mlp.down_proj"}, {c.hidden_size}, c.intermediate_size, biases.mlp, true);
  }
  declare_head();
}

nn::PackedParameter DecoderModel::declare_norm(int layer_index, const char* suffix) {
  return nn::PackedParameter(
      declare_in_layer(layer_index, fmt::format("{}.weight", suffix).c_str(), {config().hidden_size}, {nn::Init::Kind::kOnes}));
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

nn::Activations DecoderModel::layer(nn::Pass& pass, int layer_index, const nn::Activations& in, const TokenBatch& batch) {
  const DecoderLayer& p = layers_[static_cast<std::size_t>(layer_index)];
  const ModelConfig& c = config();
  const auto [x, residual] = nn::add_rms_norm(pass, in.hidden, in.residual, p.input_layernorm, c.rms_norm_eps);
  const nn::Var qkv = nn::linear(pass, x, p.qkv_proj);
  const nn::Var rotated = nn::rope(pass, qkv, batch.position_ids, rotary(), c.num_attention_heads + c.num_key_value_heads, c.head_dim);
  const nn::Var attended = nn::linear(pass, nn::attention(pass, rotated, batch.attention, heads()), p.o_proj);
  const auto [y, residual2] = nn::add_rms_norm(pass, attended, residual, p.post_attention_layernorm, c.rms_norm_eps);
  return {nn::linear(pass, nn::swiglu(pass, nn::linear(pass, y, p.gate_up_proj)), p.down_proj), residual2};
}

}  // namespace r1::models
