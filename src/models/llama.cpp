// Llama 2 and 3.x: biases where config.json asks for them, rotary frequencies scaled by wavelength in 3.1 and later.
#include "models/architectures.h"
#include "models/decoder_layer.h"

namespace r1::models {
namespace {

class Llama : public DecoderModel {
 public:
  explicit Llama(ModelConfig model_config, Biases biases) : DecoderModel(std::move(model_config), biases) {}
};

}  // namespace

std::unique_ptr<CausalLM> make_llama(ModelConfig config) {
  const Biases biases{.qkv = config.attention_bias, .o = config.attention_bias, .mlp = config.mlp_bias};
  return std::make_unique<Llama>(std::move(config), biases);
}

}  // namespace r1::models
