#include "apps/inspect/loaded_model.h"

#include "checkpoint/hf_import.h"
#include "models/registry.h"
#include "ops/device_context.h"

namespace r1::apps {

LoadedModel make_empty_model(models::ModelConfig config, int num_threads, Device device) {
  LoadedModel loaded;
  loaded.ctx = ops::make_context(device, num_threads);
  loaded.model = models::make_model(std::move(config));
  loaded.store = parallel::make_replicated_store(*loaded.ctx, loaded.model->parameters(), parallel::OptimizerState::kNone);
  loaded.runner = std::make_unique<nn::UnitRunner>(loaded.model->parameters(), *loaded.store);
  return loaded;
}

LoadedModel load_model(const std::string& folder, int num_threads, Device device) {
  LoadedModel loaded = make_empty_model(models::load_model_config(folder), num_threads, device);
  checkpoint::load_weights(folder, *loaded.model, *loaded.store);
  return loaded;
}

}  // namespace r1::apps
