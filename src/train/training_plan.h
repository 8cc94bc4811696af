// From a configuration and its data to the plan of the job.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/grpo_config.h"
#include "config/sft_config.h"
#include "plan/job_plan.h"
#include "train/sft_data.h"

namespace r1::train {

/// The micro-batches of a run as far as memory goes.
struct MicroBatchShapes {
  std::vector<std::int64_t> largest;              // lengths of its sequences
  std::int64_t labelled_tokens = -1;              // of it
  std::vector<std::vector<std::int64_t>> others;  // some of other sizes
};

/// Exactly those of the run's first max_steps steps when rows are all of it (is_whole), else batches of the longest rows.
MicroBatchShapes micro_batch_shapes(const config::SftConfig& config, const TrainingRows& rows, bool is_whole, std::int64_t max_steps);

/// What a plan is made from beside the configuration.
struct PlanInputs {
  std::string model_folder;
  models::ModelConfig model;
  DType save_dtype = DType::kF32;
  std::int64_t max_steps = 1, steps_per_epoch = 1;
  int ranks_on_host = 1;  // of a job that is not planned but started
  Device device;
};

/// Memory, traffic and disk; times are empty until plan::set_speed.
plan::JobPlan plan_sft(const config::SftConfig& config, const PlanInputs& inputs, const MicroBatchShapes& micro_batches,
                       const MicroBatchShapes* evaluation);
/// longest_prompt: tokens.
plan::JobPlan plan_grpo(const config::GrpoConfig& config, const PlanInputs& inputs, std::int64_t longest_prompt);

/// Rows of max_length tokens in the place of a data set that cannot be tokenised; num_documents of them.
SftData longest_possible_rows(const config::SftConfig& config, const models::ModelConfig& model, std::int64_t num_documents);

/// plan::require_memory, and from here on no more pages than this rank's part of the machine.
void keep_within_memory(const plan::JobPlan& plan, int ranks_on_host);

}  // namespace r1::train
