// Qwen3: a norm over each query and key head, head_dim of its own, biases only where config.json asks for them.
#include "models/architectures.h"
#include "models/decoder_layer.h"

namespace r1::models {
namespace {

class Qwen3 : public DecoderModel {
 public:
  Qwen3(ModelConfig model_config, ModelPart model_part, LayerFeatures features)
      : DecoderModel(std::move(model_config), model_part, features) {}
};

}  // namespace

std::unique_ptr<CausalLM> make_qwen3(ModelConfig config, ModelPart part) {
  const LayerFeatures features{.qkv_bias = config.attention_bias, .o_bias = config.attention_bias, .qk_norm = true};
  return std::make_unique<Qwen3>(std::move(config), part, features);
}

}  // namespace r1::models
