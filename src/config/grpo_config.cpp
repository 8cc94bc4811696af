#include "config/grpo_config.h"

#include "config/legacy_keys.h"

namespace r1::config {

std::span<const std::string_view> enum_names(LossType) {
  static constexpr std::string_view kNames[] = {"grpo", "bnpo", "dr_grpo"};
  return kNames;
}

std::span<const std::string_view> enum_names(ScaleRewards) {
  static constexpr std::string_view kNames[] = {"group", "batch", "none"};
  return kNames;
}

std::span<const std::string_view> enum_names(ImportanceSamplingLevel) {
  static constexpr std::string_view kNames[] = {"token", "sequence"};
  return kNames;
}

std::string_view feb25_system_prompt() {
  // The template of DeepSeek-R1-Zero (arXiv 2501.12948, Table 1); a model's input, so every character counts.
  return "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
         "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
         "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., "
         "<think> reasoning process here </think><answer> answer here </answer>";
}

namespace {

void add_prompt_fields(FieldList& fields, GrpoConfig& config) {
  fields.group("Prompts", "data/prompt_format");
  fields.add("dataset_prompt_column", config.dataset_prompt_column, "Column of the prompts (text or messages).")
      .shown_default("prompt, else problem")
      .feb25("problem");
  fields
      .add("max_prompt_length", config.max_prompt_length, "Tokens of a prompt: its last ones are kept (see overlong_rows); null: no limit.")
      .at_least(1);
  fields.add("shuffle_dataset", config.shuffle_dataset, "Shuffle the prompts.").used_by("data/sampler");
}

void add_completion_fields(FieldList& fields, GrpoConfig& config) {
  fields.group("Completions", "train/rollout");
  fields.add("num_generations", config.num_generations, "Completions per prompt, the size of a group.").at_least(2);
  fields.add("max_completion_length", config.max_completion_length, "New tokens of a completion.").at_least(1);
  fields.add("temperature", config.temperature, "Softmax temperature of sampling.").above(0).feb25("0.9");
  fields.add("top_p", config.top_p, "Smallest set of tokens with this probability.").above(0).at_most(1);
  fields.add("top_k", config.top_k, "The k most probable tokens; none or 0: all.").at_least(0);
  fields.add("min_p", config.min_p, "Tokens with at least this share of the greatest probability.").at_least(0).at_most(1);
  fields.add("repetition_penalty", config.repetition_penalty, "Above 1 discourages tokens that occurred.").above(0);
  fields.add("kv_cache_memory", config.kv_cache_memory, "Memory of the KV cache per rank, such as 8GB.")
      .shown_default("from free memory")
      .used_by("engine");
  fields
      .add("enforce_eager", config.enforce_eager,
           "Launch decode steps op by op instead of replaying them as CUDA graphs; the CPU always does.")
      .used_by("engine");
  fields
      .add("batch_invariant", config.batch_invariant,
           "On GPUs: a row's completion does not depend on the rest of its batch, which costs speed. On the CPU it never does.")
      .used_by("engine");
  fields.add("rollout_tensor_parallel_size", config.rollout_tensor_parallel_size, "Ranks that share the weights while generating.")
      .at_least(1);
  fields.add("num_completions_to_print", config.num_completions_to_print, "Completions shown at every logged step.")
      .at_least(0)
      .used_by("report");
}

void add_reward_fields(FieldList& fields, GrpoConfig& config) {
  fields.group("Rewards", "rewards");
  Field& funcs = fields.add("reward_funcs", config.reward_funcs, "Rewards by name.").feb25("[accuracy, format]");
  for (const char* name : {"code", "binary_code", "ioi_code", "cf_code"}) {
    funcs.unsupported_choice(name, "code is not executed here (no sandbox); use code_format, accuracy or another reward");
  }
  fields.add("reward_weights", config.reward_weights, "One weight per reward.").shown_default("all 1");
  fields.add("reward_revision", config.reward_revision, "r1: head with documented corrections; head, feb25: exactly as there.")
      .choices({"r1", "head", "feb25"});
  fields.add("cosine_min_value_wrong", config.cosine_min_value_wrong, "cosine: wrong answer, one end.");
  fields.add("cosine_max_value_wrong", config.cosine_max_value_wrong, "cosine: wrong answer, other end.");
  fields.add("cosine_min_value_correct", config.cosine_min_value_correct, "cosine: right answer, longest.");
  fields.add("cosine_max_value_correct", config.cosine_max_value_correct, "cosine: right answer, shortest.");
  fields.add("cosine_max_len", config.cosine_max_len, "cosine: characters of the longest completion.").at_least(1);
  fields.add("repetition_n_grams", config.repetition_n_grams, "repetition_penalty: words of an n-gram.").at_least(1);
  fields.add("repetition_max_penalty", config.repetition_max_penalty, "repetition_penalty: reward of pure repetition.").at_most(0);
  fields.add("max_completion_len", config.max_completion_len, "soft_overlong_punishment: longest completion in tokens.").at_least(1);
  fields.add("soft_punish_cache", config.soft_punish_cache, "soft_overlong_punishment: tokens before the longest where it begins.")
      .at_least(0);
  fields.add("code_language", config.code_language, "code_format: language after the opening fence.")
      .choices({"python", "javascript", "r", "java", "bash", "cpp"});
}

void add_loss_fields(FieldList& fields, GrpoConfig& config) {
  fields.group("Loss", "train/grpo");
  fields.add("beta", config.beta, "Weight of the KL term; 0: no reference model is loaded.").at_least(0).feb25("0.04");
  Field& loss_type = fields.add("loss_type", config.loss_type, "How token losses are averaged.").choice_alias("dapo", "bnpo").feb25("grpo");
  for (const char* name : {"cispo", "sapo", "luspo", "vespo"}) loss_type.unsupported_choice(name, "nearest: bnpo or dr_grpo");
  fields.add("scale_rewards", config.scale_rewards, "Divide advantages by the deviation of the group, of the batch, or not.")
      .choice_alias("true", "group")
      .choice_alias("false", "none")
      .bare("group");
  fields.add("epsilon", config.epsilon, "Clip range of the probability ratio.").at_least(0);
  fields.add("epsilon_high", config.epsilon_high, "Upper clip range.").at_least(0).shown_default("epsilon");
  fields.add("delta", config.delta, "Upper cap of the unclipped ratio.").above(1);
  fields.add("num_iterations", config.num_iterations, "Optimizer steps per rollout.").at_least(1);
  fields.add("importance_sampling_level", config.importance_sampling_level, "Ratio per token, or per sequence (GSPO).");
  fields.add("mask_truncated_completions", config.mask_truncated_completions, "Leave completions without end token out of the loss.");
  fields.add("dynamic_sampling", config.dynamic_sampling, "Drop groups with equal rewards and draw others.").used_by("train/rollout");
  fields.add("scale_log_probs_by_temperature", config.scale_log_probs_by_temperature, "Log-probabilities of logits / temperature.")
      .feb25("false");
  fields.add("sync_ref_model", config.sync_ref_model, "Mix the policy into the reference model now and then.");
  fields.add("ref_model_mixup_alpha", config.ref_model_mixup_alpha, "Share of the policy in that mix.").at_least(0).at_most(1).feb25("0.9");
  fields.add("ref_model_sync_steps", config.ref_model_sync_steps, "Steps between two mixes.").at_least(1).feb25("64");
  fields.add("generation_batch_size", config.generation_batch_size, "Completions generated at once: those of one optimizer step.")
      .at_least(1)
      .used_by("config/checks");
  fields.add("steps_per_generation", config.steps_per_generation, "Micro-steps generated at once: gradient_accumulation_steps.")
      .at_least(1)
      .used_by("config/checks");
}

}  // namespace

FieldList grpo_fields(GrpoConfig& config) {
  FieldList fields;
  add_model_fields(fields, config);
  add_dataset_fields(fields, config);
  add_prompt_fields(fields, config);
  add_completion_fields(fields, config);
  add_reward_fields(fields, config);
  add_loss_fields(fields, config);
  add_trainer_fields(fields, config);
  fields.find("system_prompt")->feb25(std::string(feb25_system_prompt()));
  add_common_fields(fields, config);
  add_training_legacy_keys(fields);
  add_grpo_legacy_keys(fields);
  return fields;
}

}  // namespace r1::config
