// Sampling settings from flags, the model's generation_config.json and the defaults.
#pragma once

#include "checkpoint/inference_model.h"
#include "config/generate_config.h"
#include "engine/sampling_params.h"
#include "parallel/inference_store.h"

namespace r1::generate {

/// A flag wins over the model's generation_config, which wins over the default: temperature 1, no filter, no penalty. do_sample: false
/// means temperature 0 unless a temperature is given as a flag.
ops::SamplingSettings choose_sampling(const config::SamplingArgs& flags, const checkpoint::GenerationDefaults& defaults);

/// The same without generation_config.json (GRPO, r1_bench).
ops::SamplingSettings choose_sampling(const config::SamplingArgs& flags);

/// none: as on disk.
parallel::WeightStorage weight_storage(const std::optional<config::GenerationDType>& dtype);

}  // namespace r1::generate
