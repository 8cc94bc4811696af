// Keys that SFT and GRPO share: transformers' TrainingArguments and Open R1's additions, and what is ours.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "config/accelerate_config.h"
#include "config/common_config.h"
#include "config/dataset_args.h"
#include "config/fields.h"
#include "config/model_args.h"

namespace r1::config {

enum class IntervalStrategy { kNo, kSteps, kEpoch };
std::span<const std::string_view> enum_names(IntervalStrategy);

enum class LrSchedulerType { kLinear, kCosine, kCosineWithMinLr, kConstant, kConstantWithWarmup };
std::span<const std::string_view> enum_names(LrSchedulerType);

enum class CheckpointLayout { kFile, kPerNode };
std::span<const std::string_view> enum_names(CheckpointLayout);

/// What happens to rows (SFT) or prompts (GRPO) over the length limit; always counted.
enum class OverlongPolicy { kTruncate, kSkip, kError };
std::span<const std::string_view> enum_names(OverlongPolicy);

/// What gradient_checkpointing computes again in the backward pass.
enum class RecomputeGranularity { kFull, kSelective };
std::span<const std::string_view> enum_names(RecomputeGranularity);

/// --compat: whose defaults and conventions hold where they differ.
enum class Compat { kHead, kFeb25 };
std::span<const std::string_view> enum_names(Compat);

struct TrainerConfig {
  // Output
  std::string output_dir;
  bool overwrite_output_dir = false;
  std::optional<std::string> resume_from_checkpoint;  // "latest" or a path
  bool resume_unchecked = false;                      // although model, data or settings differ from the checkpoint's
  std::optional<std::string> run_name, wandb_entity, wandb_project, wandb_run_group;
  std::optional<std::string> system_prompt;
  std::vector<std::string> benchmarks;

  // Length of the run and batches
  double num_train_epochs = 3;
  std::int64_t max_steps = -1;  // > 0 wins over epochs
  int per_device_train_batch_size = 8, per_device_eval_batch_size = 8;
  int gradient_accumulation_steps = 1;
  bool gradient_checkpointing = false;
  RecomputeGranularity recompute_granularity = RecomputeGranularity::kFull;
  bool bf16 = false;
  std::optional<std::int64_t> data_seed;
  OverlongPolicy overlong_rows = OverlongPolicy::kTruncate;

  // Optimizer
  double learning_rate = 5e-5;  // SFT 2e-5, GRPO 1e-6
  LrSchedulerType lr_scheduler_type = LrSchedulerType::kLinear;
  Dict lr_scheduler_kwargs;
  double warmup_ratio = 0;
  std::int64_t warmup_steps = 0;
  double max_grad_norm = 1.0;  // 0: no clipping
  std::string optim = "adamw_torch";
  double weight_decay = 0, adam_beta1 = 0.9, adam_beta2 = 0.999, adam_epsilon = 1e-8;
  std::int64_t max_nonfinite_steps = 0;

  // Evaluation, logging, saving. A number of steps below 1 is a fraction of max_steps: use step_interval().
  bool do_eval = false;
  IntervalStrategy eval_strategy = IntervalStrategy::kNo;
  std::optional<double> eval_steps;  // none: logging_steps
  IntervalStrategy logging_strategy = IntervalStrategy::kSteps;
  double logging_steps = 500;
  bool logging_first_step = false;
  IntervalStrategy save_strategy = IntervalStrategy::kSteps;
  double save_steps = 500;
  std::optional<int> save_total_limit;
  bool save_only_model = false;
  std::optional<bool> save_hf;  // none: true when benchmarks or save_only_model is set; see saves_hugging_face()
  bool async_save = false;
  CheckpointLayout checkpoint_layout = CheckpointLayout::kFile;
  std::optional<double> save_before_seconds;
  std::int64_t check_replicas_steps = 100;

  // Ranks
  std::optional<std::string> accelerate_config;
  std::optional<int> num_processes;             // of the command line; GRPO only
  std::optional<bool> deterministic_reduction;  // none: true on the CPU, false on CUDA
  Compat compat = Compat::kHead;
  Dict env;  // exported to the process environment

  // Filled by the loader.
  AccelerateConfig accelerate;
  int num_trainers = 1, num_generators = 0;  // world_size = their sum; 0 generators: every rank generates, then trains

  bool evaluates() const { return do_eval || eval_strategy != IntervalStrategy::kNo; }
  bool saves_hugging_face() const { return save_hf.value_or(save_only_model || !benchmarks.empty()); }
};

void add_trainer_fields(FieldList& fields, TrainerConfig& config);

/// logging_steps, eval_steps or save_steps as a number of steps: below 1 it is a fraction of all steps, rounded up, at least 1.
std::int64_t step_interval(double steps, std::int64_t total_steps);

/// Warm-up steps of a run: warmup_steps when positive, else warmup_ratio of all steps, rounded up.
std::int64_t warmup_steps_of(const TrainerConfig& config, std::int64_t total_steps);

}  // namespace r1::config
