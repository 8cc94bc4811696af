// The parts that the Llama family shares: grouped-query attention and the gated MLP, with Hugging Face's names.
#pragma once

#include <vector>

#include "models/causal_lm.h"

namespace r1::models {

/// Parameters of one pre-norm layer. q, k, v (and gate, up) are declared one after another: one matrix product each.
struct DecoderLayer {
  nn::PackedParameter input_layernorm, post_attention_layernorm;
  nn::Linear qkv_proj;                // fused; without per-head norms
  nn::Linear q_proj, k_proj, v_proj;  // with per-head norms: each is normalised on its own
  nn::PackedParameter q_norm, k_norm;
  nn::Linear o_proj, gate_up_proj, down_proj;
};

/// What an architecture of the family adds to the plain layer.
struct LayerFeatures {
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool qk_norm = false;  // RMS norm over each query and key head before rotation
};

/// A model whose layers are: norm, attention, norm, gated MLP. Architectures derive from it and say what differs.
class DecoderModel : public CausalLM {
 protected:
  DecoderModel(ModelConfig model_config, ModelPart part, LayerFeatures features);

  nn::Activations layer(nn::Pass& pass, int layer_index, const nn::Activations& in, const TokenBatch& batch) override;

 private:
  void declare_attention(int layer_index, DecoderLayer& p);
  nn::PackedParameter declare_norm(int layer_index, const char* module, std::int64_t width);
  nn::Var attend(nn::Pass& pass, int layer_index, const nn::Var& x, const TokenBatch& batch);
  /// Output features of a projection: all of them, and those that are computed here.
  struct OutFeatures {
    std::int64_t total;
    IndexRange here;
  };
  nn::Linear declare_linear(int layer_index, const std::vector<const char*>& modules, const std::vector<OutFeatures>& out_features,
                            std::int64_t in_features, bool bias, bool is_residual_output);

  LayerFeatures features_;
  std::vector<DecoderLayer> layers_;
};

}  // namespace r1::models
