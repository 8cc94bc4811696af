// Llama 2 and 3.x: biases where config.json asks for them, rotary frequencies scaled by wavelength in 3.1 and later.
#include "models/architectures.h"
#include "models/decoder_layer.h"

namespace r1::models {
namespace {

class Llama : public DecoderModel {
 public:
  Llama(ModelConfig model_config, ModelPart model_part, LayerFeatures features)
      : DecoderModel(std::move(model_config), model_part, features) {}
};

}  // namespace

std::unique_ptr<CausalLM> make_llama(ModelConfig config, ModelPart part) {
  const LayerFeatures features{.qkv_bias = config.attention_bias, .o_bias = config.attention_bias, .mlp_bias = config.mlp_bias};
  return std::make_unique<Llama>(std::move(config), part, features);
}

}  // namespace r1::models
