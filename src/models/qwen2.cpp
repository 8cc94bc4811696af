// Qwen2 and Qwen2.5: biases on q, k and v.
#include "models/architectures.h"
#include "models/decoder_layer.h"

namespace r1::models {
namespace {

class Qwen2 : public DecoderModel {
 public:
  explicit Qwen2(ModelConfig model_config) : DecoderModel(std::move(model_config), {.qkv_bias = true}) {}
};

}  // namespace

std::unique_ptr<CausalLM> make_qwen2(ModelConfig config) { return std::make_unique<Qwen2>(std::move(config)); }

}  // namespace r1::models
