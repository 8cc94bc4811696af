// What SFT and GRPO make of the keys that they share.
#pragma once

#include "config/grpo_config.h"
#include "config/model_args.h"
#include "config/trainer_config.h"
#include "models/model_config.h"
#include "parallel/inference_store.h"
#include "parallel/parameter_store.h"
#include "tensor/device.h"
#include "train/lr_schedule.h"
#include "train/trainer.h"

namespace r1::train {

/// --save_dtype, else torch_dtype if not auto, else the source model's.
DType save_dtype_of(const config::ModelArgs& args, const models::ModelConfig& model);

/// Whether passes compute in bf16 beside fp32 weights, gradients and optimizer state: bf16 true (or mixed_precision: bf16) on CUDA.
bool computes_in_bf16(const config::TrainerConfig& config, Device device);

/// One notice when bf16 was asked for on the CPU, which computes in fp32.
void note_bf16(const config::TrainerConfig& config, Device device);

/// What gradient_checkpointing and recompute_granularity say together.
nn::RecomputeGranularity recompute_granularity(const config::TrainerConfig& config);

/// max_steps when it is given, else the epochs.
std::int64_t total_steps(const config::TrainerConfig& config, std::int64_t steps_per_epoch);

/// Epochs and fractions resolved to steps.
TrainerOptions trainer_options(const config::TrainerConfig& config, std::int64_t max_steps, std::int64_t steps_per_epoch);

LrSchedule make_schedule(const config::TrainerConfig& config, std::int64_t max_steps);

/// What a run leaves on disk at the same time: the model and checkpoints, bytes each.
struct OutputBytes {
  std::uint64_t model = 0, checkpoint = 0, num_checkpoints = 0;
};
OutputBytes output_bytes(const config::TrainerConfig& config, const TrainerOptions& options, std::uint64_t num_parameters,
                         DType save_dtype);

/// Throws Error(kDisk) when the trained model and one checkpoint (a second one beside it where older ones are deleted) do not fit.
void check_room_for_output(const config::TrainerConfig& config, const TrainerOptions& options, std::uint64_t num_parameters,
                           DType save_dtype);

/// By the accelerate configuration, deterministic_reduction and bf16.
parallel::StoreOptions store_options(const config::TrainerConfig& config, Device device);
/// Of the reference model. On the CPU as on disk, which has the log-probabilities of fp32 to the bit; on CUDA as the policy computes, so
/// that the first step's KL is 0. fp32 where the policy is mixed into it.
parallel::WeightStorage reference_storage(const config::GrpoConfig& config, Device device);

/// One line when the result will depend on the number of ranks.
void note_reduction(const config::TrainerConfig& config, Device device, int world_size);

}  // namespace r1::train
