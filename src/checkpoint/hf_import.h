// Weights from a Hugging Face model folder into a parameter store.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "models/causal_lm.h"
#include "parallel/parameter_store.h"

namespace r1::checkpoint {

/// How the names in a folder's files and the model's parameters relate.
struct NameComparison {
  std::vector<std::string> missing;  // parameters that no file holds
  std::vector<std::string> extra;    // tensors that the model has no use for (known derived buffers apart)
};
NameComparison compare_names(const io::Safetensors& files, models::CausalLM& model);

/// Fills every parameter (of a part of a model: its rows), converting to f32. Throws Error(kModel) for a missing parameter or another
/// shape, naming tensor, expected shape with its origin, found shape and file. Extra tensors are named in one notice. Nothing is written to
/// the store before all names and shapes have been checked.
void load_weights(const std::string& folder, models::CausalLM& model, parallel::ParameterStore& store);

/// The same into anything that takes values: set_value(parameter, host f32 tensor of the parameter's shape).
using SetValue = std::function<void(const nn::Parameter&, const Tensor&)>;
void load_weights(const std::string& folder, models::CausalLM& model, const SetValue& set_value);

}  // namespace r1::checkpoint
