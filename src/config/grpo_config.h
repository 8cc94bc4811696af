// r1_train grpo: TRL's GRPOConfig, Open R1's script arguments and additions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/trainer_config.h"

namespace r1::config {

/// How token losses become one number (design/interfaces.md, "GRPO loss"). dapo is another name of bnpo.
enum class LossType { kGrpo, kBnpo, kDrGrpo };
std::span<const std::string_view> enum_names(LossType);

/// Divisor of the advantages: the deviation of the group, of the batch, or 1.
enum class ScaleRewards { kGroup, kBatch, kNone };
std::span<const std::string_view> enum_names(ScaleRewards);

/// Ratio per token, or per sequence (GSPO).
enum class ImportanceSamplingLevel { kToken, kSequence };
std::span<const std::string_view> enum_names(ImportanceSamplingLevel);

struct GrpoConfig : CommonConfig, ModelArgs, DatasetArgs, TrainerConfig {
  GrpoConfig() { learning_rate = 1e-6; }

  // Prompts
  std::optional<std::string> dataset_prompt_column;  // none: prompt, else problem when only that exists (one notice)
  std::optional<std::int64_t> max_prompt_length = 512;
  bool shuffle_dataset = true;

  // Completions
  int num_generations = 8;
  std::int64_t max_completion_length = 256;
  double temperature = 1.0, top_p = 1.0, repetition_penalty = 1.0;
  std::optional<int> top_k;
  std::optional<double> min_p;
  std::optional<ByteSize> kv_cache_memory;
  bool enforce_eager = false, batch_invariant = false;
  int rollout_tensor_parallel_size = 1;
  int num_completions_to_print = 0;

  // Rewards
  std::vector<std::string> reward_funcs = {"accuracy", "format", "tag_count"};
  std::vector<double> reward_weights;  // empty: all 1
  std::string reward_revision = "r1";
  double cosine_min_value_wrong = 0.0, cosine_max_value_wrong = -0.5, cosine_min_value_correct = 0.5, cosine_max_value_correct = 1.0;
  int cosine_max_len = 1000;
  int repetition_n_grams = 3;
  double repetition_max_penalty = -1.0;
  int max_completion_len = 16384, soft_punish_cache = 4096;  // of soft_overlong_punishment
  std::string code_language = "python";                      // of code_format

  // Loss
  double beta = 0.04;
  LossType loss_type = LossType::kBnpo;
  ScaleRewards scale_rewards = ScaleRewards::kGroup;
  double epsilon = 0.2;
  std::optional<double> epsilon_high, delta;
  int num_iterations = 1;
  ImportanceSamplingLevel importance_sampling_level = ImportanceSamplingLevel::kToken;
  bool mask_truncated_completions = false;
  bool dynamic_sampling = false;
  bool scale_log_probs_by_temperature = true;
  bool sync_ref_model = false;
  double ref_model_mixup_alpha = 0.6;
  std::int64_t ref_model_sync_steps = 512;
  std::optional<std::int64_t> generation_batch_size, steps_per_generation;

  /// Completions of one optimizer step: B = per_device × trainers × accumulation, and what of it is used: G · ⌊B / G⌋.
  std::int64_t completions_per_step() const {
    return std::int64_t{per_device_train_batch_size} * num_trainers * gradient_accumulation_steps;
  }
  std::int64_t groups_per_step() const { return completions_per_step() / num_generations; }
};

/// Every field of the program, its legacy names included.
FieldList grpo_fields(GrpoConfig& config);

/// The system prompt of Open R1's GRPO in February 2025.
std::string_view feb25_system_prompt();

}  // namespace r1::config
