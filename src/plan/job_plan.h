// The plan of a job as a person and as a program read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/common_config.h"
#include "plan/memory_plan.h"
#include "tensor/exec_context.h"

namespace r1::plan {

/// How fast a rank is, and where that is known from.
struct RankSpeed {
  double peak_flops = 0;        // a second
  double memory_bandwidth = 0;  // bytes a second; 0: not known
  double link_bandwidth = 0;    // bytes a second to other ranks; 0: not known
  std::string origin;           // "measured here", "given"
};

/// Everything that the page shows; numbers of one rank unless they say otherwise.
struct JobPlan {
  std::string program;  // "r1_train sft"
  std::string model;    // "Qwen/Qwen2.5-7B: qwen2"
  std::string data;     // one line
  std::string layout;   // "ZeRO-3"
  int nodes = 1, ranks_per_node = 1;
  std::string batch;  // "2 rows of 4,096 tokens, 8 micro-batches a step"

  MemoryPlan memory;
  double process = 0;                   // code, libraries, tokenizer and data of a rank
  Device device;                        // of the ranks
  DType compute_dtype = DType::kF32;    // of their matrix products
  std::optional<double> device_memory;  // of a rank; none: no limit is known
  std::string device_memory_origin;     // "--device-memory", "this machine's 16 GB for 2 ranks"
  std::string advice;                   // when it does not fit

  int num_generators = 0;  // GRPO: ranks that generate and do not train; memory is that of a trainer then
  MemoryPlan generator;    // of one of them

  // Training
  std::int64_t steps = 0;
  double step_flops = 0;        // useful ones, of a rank
  double recompute_factor = 1;  // computed / useful
  double tokens_per_step = 0;   // of all ranks, through the model with gradients
  // Generation: of a step (GRPO) or of the job; of a rank
  double generated_tokens = 0;  // at most
  double generation_flops = 0;
  double generation_bytes = 0;  // read from memory
  RankSpeed speed;

  std::string output_dir;
  std::uint64_t checkpoint_bytes = 0, num_checkpoints = 0, model_bytes = 0, free_disk = 0;
  std::vector<std::pair<std::string, std::string>> more;  // further lines: name, text

  int num_ranks() const { return nodes * ranks_per_node; }
  double needed() const { return memory.needed() + process; }
  double generator_needed() const { return num_generators > 0 ? generator.needed() + process : 0; }
  bool fits() const { return !device_memory || (needed() <= *device_memory && generator_needed() <= *device_memory); }
  std::uint64_t disk_bytes() const { return model_bytes + num_checkpoints * checkpoint_bytes; }
};

/// Seconds of a step by cause. A step of a model that fills the matrix kernels reaches half of the arithmetic peak, decoding 70 % of
/// the memory's bandwidth (published best: 46 to 48 % and 78 %).
struct StepTime {
  double compute = 0, generation = 0, communication = 0;
  double exposed = 0;      // communication that is longer than what it hides behind
  double link_needed = 0;  // bytes a second at which all of it hides
  double total() const { return compute + generation + exposed; }
};
StepTime step_time(const JobPlan& plan);

/// About 40 lines.
std::string to_text(const JobPlan& plan);
/// One JSON object with a line break behind it.
std::string to_json(const JobPlan& plan);

/// "does not fit: 96.1 GiB of 74.5 GiB …" with the advice, for the error that ends the program.
std::string refusal(const JobPlan& plan);

/// A job that is about to start on this machine: Error(kMemory) with the plan when the memory that is there (the process's limit on its
/// address space, the control group, the machine, shared by ranks_on_host) is certainly too small.
void require_memory(const JobPlan& plan, int ranks_on_host);

/// The page, what belongs under it and the effective configuration, or the JSON object, to standard output; then Error(kMemory) with the
/// way out when the job does not fit.
void print_plan(const config::CommonConfig& config, const JobPlan& plan, const std::string& below);

/// Peak and bandwidths of the configuration, else measured here. Throws Error(kUsage) for a peak that is no number.
void set_speed(const config::CommonConfig& config, const ExecContext& ctx, JobPlan& plan);

/// Where the job runs: --device, with a GPU that need not be here when the job is only planned. Throws Error(kUsage).
Device device_of_job(const config::CommonConfig& config);

/// Sets the memory that a rank has: --device_memory; else, unless a layout of other nodes is planned, its part of this machine.
void set_device_memory(const config::CommonConfig& config, JobPlan& plan);

/// A folder with a config.json and neither weights nor a tokenizer: enough to plan with.
bool holds_dimensions_alone(const std::string& model_folder);

/// Bytes a second that all threads together read, measured in about 30 ms.
double measure_memory_bandwidth(ThreadPool& threads);

/// What a process takes beside the plan's classes: resident memory of this one; on CUDA an allowance for the driver and the libraries.
double process_bytes(Device device);
/// The whole of this machine (its swap included) or its control group.
double machine_bytes();

}  // namespace r1::plan
