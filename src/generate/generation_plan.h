// The plan of a generation job (r1_generate, r1_bench): memory of a rank, time.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/generate_config.h"
#include "plan/job_plan.h"

namespace r1::generate {

/// What the plan needs of either program's configuration.
struct GenerationJob {
  std::string program, model_folder;
  models::ModelConfig model;
  std::optional<config::GenerationDType> dtype;
  Device device;
  int tensor_parallel_size = 1, pipeline_parallel_size = 1;
  std::optional<config::ByteSize> kv_cache_memory;
  int num_sequences = 1;            // in flight on a replica
  std::int64_t longest_prompt = 1;  // tokens
  std::int64_t max_model_len = 2, max_new_tokens = 1;
  std::int64_t num_samples = 1;  // of the job
};

/// Memory, verdict and advice alone.
plan::JobPlan plan_generation_memory(const config::CommonConfig& config, const GenerationJob& job, int num_threads);

/// A job that is about to start on the CPU: Error(kMemory) with the plan when the memory that is there is certainly too small; else the
/// plan is kept for the error of an allocation that fails.
void require_generation_memory(const config::CommonConfig& config, const GenerationJob& job, int num_threads, int ranks_on_host);

/// Memory, verdict, advice, speed and work. The context is this machine's, for its peak.
plan::JobPlan plan_generation(const config::CommonConfig& config, const GenerationJob& job, const ExecContext& ctx);

}  // namespace r1::generate
