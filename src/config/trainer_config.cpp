#include "config/trainer_config.h"

#include <algorithm>
#include <cmath>

namespace r1::config {

std::span<const std::string_view> enum_names(IntervalStrategy) {
  static constexpr std::string_view kNames[] = {"no", "steps", "epoch"};
  return kNames;
}

std::span<const std::string_view> enum_names(LrSchedulerType) {
  static constexpr std::string_view kNames[] = {"linear", "cosine", "cosine_with_min_lr", "constant", "constant_with_warmup"};
  return kNames;
}

std::span<const std::string_view> enum_names(CheckpointLayout) {
  static constexpr std::string_view kNames[] = {"file", "per_node"};
  return kNames;
}

std::span<const std::string_view> enum_names(OverlongPolicy) {
  static constexpr std::string_view kNames[] = {"truncate", "skip", "error"};
  return kNames;
}

std::span<const std::string_view> enum_names(RecomputeGranularity) {
  static constexpr std::string_view kNames[] = {"full", "selective"};
  return kNames;
}

std::span<const std::string_view> enum_names(Compat) {
  static constexpr std::string_view kNames[] = {"head", "feb25"};
  return kNames;
}

namespace {

void add_output_fields(FieldList& fields, TrainerConfig& config) {
  fields.group("Output", "train/trainer");
  fields.add("output_dir", config.output_dir, "Folder for the model, checkpoints, metrics and the report.").required();
  fields.add("overwrite_output_dir", config.overwrite_output_dir, "Start afresh in a folder that holds a run (its files are replaced).");
  fields.add("resume_from_checkpoint", config.resume_from_checkpoint, "latest, or the path of a checkpoint to go on from.")
      .choice_alias("true", "latest")
      .used_by("checkpoint/checkpointer");
  fields
      .add("resume_unchecked", config.resume_unchecked, "Resume although model, data, seed or rows of a step differ from the checkpoint's.")
      .used_by("checkpoint/checkpointer");
  fields.add("run_name", config.run_name, "Title of the run, in report and model card.").used_by("report");
  fields.add("wandb_entity", config.wandb_entity, "Recorded with the run; nothing is uploaded.").used_by("report");
  fields.add("wandb_project", config.wandb_project, "Recorded with the run; nothing is uploaded.").used_by("report");
  fields.add("wandb_run_group", config.wandb_run_group, "Recorded with the run; nothing is uploaded.").used_by("report");
  fields.add("system_prompt", config.system_prompt, "GRPO: system message of every prompt. Also that of the run's benchmarks.")
      .used_by("data/prompt_format, slurm/evaluate.slurm");
  fields.add("benchmarks", config.benchmarks, "Benchmarks of the saved model (r1_bench task names, or all); makes save_hf the default.")
      .used_by("checkpoint/hf_export, slurm/train.slurm");
}

void add_length_fields(FieldList& fields, TrainerConfig& config) {
  fields.group("Length of the run and batches", "train/trainer");
  fields.add("num_train_epochs", config.num_train_epochs, "Passes over the data.").above(0);
  fields.add("max_steps", config.max_steps, "Optimizer steps; above 0 it wins over num_train_epochs.").at_least(-1);
  fields.add("per_device_train_batch_size", config.per_device_train_batch_size, "Rows per rank and micro-batch; GRPO: completions.")
      .at_least(1);
  fields.add("per_device_eval_batch_size", config.per_device_eval_batch_size, "The same for evaluation.").at_least(1);
  fields.add("gradient_accumulation_steps", config.gradient_accumulation_steps, "Micro-batches per optimizer step.").at_least(1);
  fields.add("gradient_checkpointing", config.gradient_checkpointing, "Recompute activations in the backward pass: less memory, same bits.")
      .used_by("nn/unit_runner");
  fields
      .add("recompute_granularity", config.recompute_granularity,
           "With gradient_checkpointing: everything between a layer's input and output, or only norms and the MLP's activation.")
      .used_by("nn/unit_runner");
  fields.add("bf16", config.bf16, "bfloat16 working copy on CUDA; the CPU computes in float32 (one notice).").used_by("train, ops");
  fields.add("data_seed", config.data_seed, "Seed of the data order; none: seed.").at_least(0).used_by("data/sampler");
  fields.add("overlong_rows", config.overlong_rows, "Rows or prompts over the length limit (counted in any case).")
      .used_by("data, train/rollout");
}

void add_optimizer_fields(FieldList& fields, TrainerConfig& config) {
  fields.group("Optimizer", "train/adamw");
  fields.add("learning_rate", config.learning_rate, "Peak learning rate.").at_least(0).used_by("train/lr_schedule");
  Field& schedule = fields.add("lr_scheduler_type", config.lr_scheduler_type, "Learning rate over the run.").used_by("train/lr_schedule");
  for (const char* name : {"cosine_with_restarts", "cosine_warmup_with_min_lr"}) {
    schedule.unsupported_choice(name, "nearest: cosine, or cosine_with_min_lr");
  }
  for (const char* name : {"polynomial", "inverse_sqrt", "reduce_lr_on_plateau", "warmup_stable_decay"}) {
    schedule.unsupported_choice(name, "nearest: linear, or constant_with_warmup");
  }
  fields.add("lr_scheduler_kwargs", config.lr_scheduler_kwargs, "cosine_with_min_lr: {min_lr_rate: 0.1} or {min_lr: 1e-6}.")
      .used_by("train/lr_schedule");
  fields.add("warmup_ratio", config.warmup_ratio, "Warm-up as a share of all steps.").at_least(0).at_most(1).used_by("train/lr_schedule");
  fields.add("warmup_steps", config.warmup_steps, "Warm-up steps; above 0 it wins over warmup_ratio.")
      .at_least(0)
      .used_by("train/lr_schedule");
  fields.add("max_grad_norm", config.max_grad_norm, "Clips the global L2 norm of the gradient; 0: off.")
      .at_least(0)
      .used_by("parallel/grad_norm");
  Field& optim = fields.add("optim", config.optim, "Optimizer: AdamW with float32 state.");
  optim.choices({"adamw_torch", "adamw_torch_fused", "adamw_hf"});
  for (const char* name :
       {"paged_adamw_8bit", "adamw_8bit", "adamw_bnb_8bit", "paged_adamw", "paged_adamw_32bit", "adamw_torch_8bit", "adamw_torch_4bit"}) {
    optim.unsupported_choice(name, "use adamw_torch, and zero2 or zero3 to share its state among the ranks");
  }
  for (const char* name : {"adafactor", "sgd", "lion_32bit", "lion_8bit", "paged_lion_8bit", "galore_adamw", "apollo_adamw", "adagrad",
                           "rmsprop", "lomo", "adalomo", "schedule_free_adamw", "adamw_anyprecision"}) {
    optim.unsupported_choice(name, "use adamw_torch");
  }
  fields.add("weight_decay", config.weight_decay, "Decoupled decay; biases and norm weights are left out.").at_least(0);
  fields.add("adam_beta1", config.adam_beta1, "Decay of the first moment.").at_least(0).below(1);
  fields.add("adam_beta2", config.adam_beta2, "Decay of the second moment.").at_least(0).below(1);
  fields.add("adam_epsilon", config.adam_epsilon, "Added to the root of the second moment.").above(0);
  fields.add("max_nonfinite_steps", config.max_nonfinite_steps, "Steps with NaN or infinity to skip in a row; one more: exit code 4.")
      .at_least(0)
      .used_by("train/trainer");
}

void add_interval_fields(FieldList& fields, TrainerConfig& config) {
  fields.group("Evaluation, logging, saving", "train/trainer");
  fields.add("do_eval", config.do_eval, "Evaluate once after training (also when eval_strategy is not no).");
  fields.add("eval_strategy", config.eval_strategy, "When to evaluate.").choice_alias("false", "no");
  fields.add("eval_steps", config.eval_steps, "Steps between evaluations; below 1: share of all steps; none: logging_steps.").above(0);
  fields.add("logging_strategy", config.logging_strategy, "When to log.").choice_alias("false", "no").used_by("report/metrics");
  fields.add("logging_steps", config.logging_steps, "Steps between log lines; below 1: share of all steps.")
      .above(0)
      .used_by("report/metrics");
  fields.add("logging_first_step", config.logging_first_step, "Log the first step too.").used_by("report/metrics");
  fields.add("save_strategy", config.save_strategy, "When to save a checkpoint.")
      .choice_alias("false", "no")
      .unsupported_choice("best", "use steps with save_total_limit, and compare eval_loss in metrics.jsonl");
  fields.add("save_steps", config.save_steps, "Steps between checkpoints; below 1: share of all steps.").above(0);
  fields.add("save_total_limit", config.save_total_limit, "Checkpoints to keep; never below the last verified one.")
      .at_least(1)
      .used_by("checkpoint/retention");
  fields.add("save_only_model", config.save_only_model, "Checkpoints without optimizer state: cannot resume exactly.")
      .used_by("checkpoint");
  fields.add("save_hf", config.save_hf, "Hugging Face files in every checkpoint; none: when benchmarks or save_only_model is set.")
      .used_by("checkpoint/hf_export");
  fields.add("async_save", config.async_save, "Write checkpoints in the background.").used_by("checkpoint");
  fields.add("checkpoint_layout", config.checkpoint_layout, "One collective HDF5 file, or one per node.").used_by("checkpoint");
  fields.add("save_before_seconds", config.save_before_seconds, "Save and exit 85 so long before the Slurm job's end time.")
      .at_least(0)
      .used_by("checkpoint, base/signals");
  fields
      .add("check_replicas_steps", config.check_replicas_steps,
           "Steps between comparisons of the weights that ranks hold copies of (also before each save); 0: never.")
      .at_least(0)
      .used_by("checkpoint/replica_check");
}

void add_rank_fields(FieldList& fields, TrainerConfig& config) {
  fields.group("Ranks and compatibility", "parallel");
  fields.add("accelerate_config", config.accelerate_config, "ddp, zero2, zero3, or the path of a file in accelerate's format.")
      .shown_default("ddp")
      .used_by("config/accelerate_config");
  fields.add("num_processes", config.num_processes, "GRPO: trainers; the other ranks of the world generate. Command line only.")
      .at_least(1)
      .used_by("comm, train/rollout");
  fields
      .add("deterministic_reduction", config.deterministic_reduction,
           "Same sums for any number of ranks; none: true on the CPU, false on CUDA.")
      .used_by("parallel");
  fields.add("compat", config.compat, "feb25: defaults and conventions of Open R1 in February 2025.")
      .choice_alias("none", "head")
      .used_by("config, train, rewards");
  fields.add("env", config.env, "Environment variables to set first.").used_by("config");
}

}  // namespace

void add_trainer_fields(FieldList& fields, TrainerConfig& config) {
  add_output_fields(fields, config);
  add_length_fields(fields, config);
  add_optimizer_fields(fields, config);
  add_interval_fields(fields, config);
  add_rank_fields(fields, config);
}

std::int64_t step_interval(double steps, std::int64_t total_steps) {
  const double interval = steps < 1 ? std::ceil(steps * static_cast<double>(total_steps)) : steps;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(interval));
}

std::int64_t warmup_steps_of(const TrainerConfig& config, std::int64_t total_steps) {
  if (config.warmup_steps > 0) return config.warmup_steps;
  return static_cast<std::int64_t>(std::ceil(config.warmup_ratio * static_cast<double>(total_steps)));
}

}  // namespace r1::config
