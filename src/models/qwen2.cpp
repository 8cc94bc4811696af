// Qwen2 and Qwen2.5: biases on q, k and v.
#include "models/architectures.h"
#include "models/decoder_layer.h"

namespace r1::models {
namespace {

class Qwen2 : public DecoderModel {
 public:
  Qwen2(ModelConfig model_config, ModelPart model_part) : DecoderModel(std::move(model_config), model_part, {.qkv_bias = true}) {}
};

}  // namespace

std::unique_ptr<CausalLM> make_qwen2(ModelConfig config, ModelPart part) { return std::make_unique<Qwen2>(std::move(config), part); }

}  // namespace r1::models
