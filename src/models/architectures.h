// The constructors that the registry lists; each stands in the file of its name.
#pragma once

#include <memory>

#include "models/causal_lm.h"

namespace r1::models {

std::unique_ptr<CausalLM> make_qwen2(ModelConfig config, ModelPart part);
std::unique_ptr<CausalLM> make_llama(ModelConfig config, ModelPart part);
std::unique_ptr<CausalLM> make_qwen3(ModelConfig config, ModelPart part);

}  // namespace r1::models
