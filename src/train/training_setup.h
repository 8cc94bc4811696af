// What SFT and GRPO make of the keys that they share.
#pragma once

#include "config/model_args.h"
#include "config/trainer_config.h"
#include "models/model_config.h"
#include "parallel/parameter_store.h"
#include "train/lr_schedule.h"
#include "train/trainer.h"

namespace r1::train {

/// --save_dtype, else torch_dtype if not auto, else the source model's.
DType save_dtype_of(const config::ModelArgs& args, const models::ModelConfig& model);

/// max_steps when it is given, else the epochs.
std::int64_t total_steps(const config::TrainerConfig& config, std::int64_t steps_per_epoch);

/// Epochs and fractions resolved to steps.
TrainerOptions trainer_options(const config::TrainerConfig& config, std::int64_t max_steps, std::int64_t steps_per_epoch);

LrSchedule make_schedule(const config::TrainerConfig& config, std::int64_t max_steps);

/// By the accelerate configuration and deterministic_reduction.
parallel::StoreOptions store_options(const config::TrainerConfig& config);

}  // namespace r1::train
