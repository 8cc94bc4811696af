// A model folder ready to run: what the sub-commands that compute share.
#pragma once

#include <memory>
#include <string>

#include "models/causal_lm.h"
#include "nn/unit_runner.h"
#include "parallel/parameter_store.h"

namespace r1::apps {

struct LoadedModel {
  std::unique_ptr<ExecContext> ctx;
  std::unique_ptr<models::CausalLM> model;
  std::unique_ptr<parallel::ParameterStore> store;
  std::unique_ptr<nn::UnitRunner> runner;
};

/// The architecture of folder/config.json with values still zero.
LoadedModel make_empty_model(models::ModelConfig config, int num_threads, Device device = kCpuDevice);
/// The same with the folder's weights.
LoadedModel load_model(const std::string& folder, int num_threads, Device device = kCpuDevice);

}  // namespace r1::apps
