// The parts that the Llama family shares: grouped-query attention and the gated MLP, with Hugging Face's names.
#pragma once

#include <vector>

#include "models/causal_lm.h"

namespace r1::models {

/// Parameters of one pre-norm layer. q, k, v (and gate, up) are declared one after another: one matrix product each.
struct DecoderLayer {
  nn::PackedParameter input_layernorm, post_attention_layernorm;
  nn::Linear qkv_proj, o_proj, gate_up_proj, down_proj;
};

/// Which projections of an architecture carry a bias.
struct Biases {
  bool qkv = false, o = false, mlp = false;
};

/// A model whose layers are: norm, attention, norm, gated MLP. Architectures derive from it and say what differs.
class DecoderModel : public CausalLM {
 protected:
  DecoderModel(ModelConfig model_config, Biases biases);

  nn::Activations layer(nn::Pass& pass, int layer_index, const nn::Activations& in, const TokenBatch& batch) override;

 private:
  nn::PackedParameter declare_norm(int layer_index, const char* suffix);
  nn::Linear declare_linear(int layer_index, std::vector<const char*> modules, std::vector<std::int64_t> out_features,
                            std::int64_t in_features, bool bias, bool is_residual_output);

  std::vector<DecoderLayer> layers_;
};

}  // namespace r1::models
