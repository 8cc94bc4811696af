// Memory and traffic of a rank, found by running the job's own code on memory that is not there.
//
// Stores, units, tape, engine and ops are the real ones, over unbacked memory (tensor/unbacked_memory.h), threads that run nothing and
// a group of ranks in which nothing travels (comm/planned_communicator.h). So the plan cannot drift from what the programs do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/model_config.h"
#include "nn/unit_runner.h"
#include "parallel/inference_store.h"
#include "parallel/parameter_store.h"

namespace r1::plan {

/// The engine of r1_generate, r1_bench or a GRPO rollout, on one rank.
struct EngineShape {
  int num_sequences = 1;            // in flight
  std::int64_t prompt_length = 1;   // of the longest prompt
  std::int64_t max_model_len = 2;   // prompt and completion
  std::int64_t kv_cache_bytes = 0;  // 0: enough for all sequences, at most half of what is free then
  std::int64_t device_memory = 0;   // of the rank, for that half; 0: it is not the limit
};

/// One rank of a training job.
struct TrainingShape {
  models::ModelConfig model;
  parallel::StoreOptions store;
  int num_ranks = 1, num_threads = 1;
  Device device;  // of the planned machine
  nn::RecomputeGranularity recompute = nn::RecomputeGranularity::kNone;
  std::vector<std::int64_t> sequence_lengths;                  // of the largest micro-batch
  std::int64_t labelled_tokens = -1;                           // of it: positions that the head computes; -1: all
  std::vector<std::vector<std::int64_t>> other_micro_batches;  // of other sizes: the allocator keeps blocks for them, too
  std::vector<std::int64_t> evaluation_lengths;                // of the largest batch without gradients; empty: none
  std::int64_t micro_batches_per_rank = 1;                     // of a step
  // GRPO:
  bool is_grpo = false;
  bool has_reference = false;
  parallel::WeightStorage reference_storage = parallel::WeightStorage::kF32;
  DType reference_dtype = DType::kF32;   // what kStored means for it
  bool generates = true;                 // false: other ranks do
  int rollout_tensor_parallel_size = 1;  // ranks that share the weights while generating
  EngineShape rollout;
};

/// One rank of a generation job.
struct InferenceShape {
  models::ModelConfig model;
  parallel::WeightStorage storage = parallel::WeightStorage::kStored;
  DType stored_dtype = DType::kF32;
  int tensor_parallel_size = 1, pipeline_parallel_size = 1;
  int num_threads = 1;
  Device device;  // of the planned machine
  EngineShape engine;
};

/// Bytes of one rank. The classes stand for the moment of the highest use and add up to allocated_peak.
struct MemoryPlan {
  double weights = 0, gradients = 0, optimizer = 0;
  double reference = 0;       // GRPO with beta > 0: the reference model's weights
  double rollout_share = 0;   // GRPO with tensor parallel rollout: this rank's rows of the weights, a second time
  double kv_cache = 0;        // of the engine, for all sequences in flight or what is allowed
  double activations = 0;     // saved for the backward pass, and of the pass that runs; scratch of its ops
  double head = 0;            // the chunk of logits with its gradients
  double communication = 0;   // gathered units, gradients under way
  double allocated_peak = 0;  // what the allocator's peak counter shows
  double reuse = 0;           // freed blocks that the allocator keeps while there is room
  double host = 0;            // on the CPU: copies of single parameters while loading and saving, reductions of the norm
  std::string peak_phase;     // "forward", "backward", "rollout", …

  double logits_chunk = 0;                                // the largest there is, whether or not it is there at the peak
  double kv_cache_one_sequence = 0, kv_cache_wanted = 0;  // of full length; of all in flight
  double num_parameters = 0;

  // Sent by a rank in a step:
  double gradient_traffic = 0;  // per step, all micro-batches
  double value_traffic = 0;     // gathers of units and updated values
  double rollout_traffic = 0;   // gathering the weights for the rollout, or sending them to the generators
  double traffic() const { return gradient_traffic + value_traffic + rollout_traffic; }
  /// What must be there beside the process's own code, libraries and data; with room it takes the blocks kept for reuse, too.
  double needed() const { return allocated_peak + host; }
  double taken() const { return needed() + reuse; }
};

/// Throws Error(kModel) for an unknown architecture, Error(kMemory) when kv_cache_bytes cannot hold one sequence.
MemoryPlan plan_training(const TrainingShape& shape);
MemoryPlan plan_inference(const InferenceShape& shape);

}  // namespace r1::plan
