// The model of a training job, as far as it is known before the first weight is read.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "config/common_config.h"
#include "config/model_args.h"
#include "config/trainer_config.h"
#include "data/chat_renderer.h"
#include "models/model_config.h"
#include "tensor/device.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace r1::train {

struct ModelSetup {
  Device device;
  std::string model_folder;
  models::ModelConfig model_config;
  std::optional<text::Tokenizer> tokenizer;         // nothing in a plan from config.json alone
  std::optional<text::ChatTemplate> chat_template;  // of the setting, else of the model's folder
  std::shared_ptr<const data::ChatRenderer> chat;   // null without a template
  DType save_dtype = DType::kF32;
};

/// Chooses the device, checks the output folder of a run that starts anew, finds the model and reads what is beside its weights. All
/// three arguments are the same configuration. Throws Error(kUsage) for a device or a folder that cannot be used, Error(kModel) for an
/// unknown architecture, before any data is read.
ModelSetup open_model(const config::CommonConfig& common, const config::TrainerConfig& config, const config::ModelArgs& args);

}  // namespace r1::train
