// From model_type to an architecture.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/causal_lm.h"

namespace r1::models {

/// The model with its parameters declared; values are bound by a parameter store. Throws Error(kModel) for an unknown
/// model_type, naming those that are known. part: what of it this rank holds.
std::unique_ptr<CausalLM> make_model(ModelConfig config, ModelPart part = {});

std::vector<std::string> known_model_types();

}  // namespace r1::models
