#include "config/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/strings.h"

namespace r1::config {

namespace {

void require_whole_steps(const CommonConfig& common, std::string_view key, double steps) {
  if (steps >= 1 && steps != std::floor(steps)) {
    fail(ErrorKind::kConfig, "{}: expected a whole number of steps, or a share of all steps below 1; found {}", common.place_of(key),
         steps);
  }
}

void check_schedule(const CommonConfig& common, const TrainerConfig& config) {
  const Dict& kwargs = config.lr_scheduler_kwargs;
  const std::string place = common.place_of("lr_scheduler_kwargs");
  const bool has_minimum = config.lr_scheduler_type == LrSchedulerType::kCosineWithMinLr;
  const std::vector<std::string> known = has_minimum ? std::vector<std::string>{"min_lr", "min_lr_rate"} : std::vector<std::string>{};
  for (const std::string& key : kwargs.keys()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    if (key == "num_cycles" && config.lr_scheduler_type != LrSchedulerType::kLinear && kwargs.number(key) == 0.5) continue;  // its default
    const auto nearest = nearest_name(key, known);
    fail(ErrorKind::kConfig, "{}: unknown key '{}' for this lr_scheduler_type{}", place, key,
         nearest       ? fmt::format(" — did you mean '{}'?", *nearest)
         : has_minimum ? "; it takes min_lr or min_lr_rate"
                       : "; only cosine_with_min_lr takes any");
  }
  if (!has_minimum) return;
  const auto min_lr = kwargs.number("min_lr"), rate = kwargs.number("min_lr_rate");
  if (min_lr.has_value() == rate.has_value()) {
    fail(ErrorKind::kConfig, "{}: cosine_with_min_lr needs either min_lr or min_lr_rate, found {}; write {{min_lr_rate: 0.1}}", place,
         min_lr ? "both" : "neither");
  }
  if (rate && (*rate < 0 || *rate > 1))
    fail(ErrorKind::kConfig, "{}: 'min_lr_rate': expected a number from 0 to 1, found {}", place, *rate);
  if (min_lr && (*min_lr < 0 || *min_lr > config.learning_rate)) {
    fail(ErrorKind::kConfig, "{}: 'min_lr': expected a number from 0 to learning_rate {}, found {}", place, config.learning_rate, *min_lr);
  }
}

void check_data(CommonConfig& common, DatasetArgs& data) {
  if (!data.dataset_mixture_map.empty()) {
    data.dataset_mixture = parse_dataset_mixture(data.dataset_mixture_map, common.place_of("dataset_mixture"));
    if (!data.dataset_name.empty()) common.notices.push_back("dataset_name has no effect: dataset_mixture wins");
  } else if (data.dataset_name.empty()) {
    fail(ErrorKind::kUsage, "missing: --dataset_name (or dataset_mixture in the recipe): what to train on");
  }
}

void check_trainer(CommonConfig& common, DatasetArgs& data, TrainerConfig& config) {
  check_data(common, data);
  check_schedule(common, config);
  if (!config.gradient_checkpointing && common.given("recompute_granularity")) {
    common.notices.push_back("recompute_granularity has no effect: gradient_checkpointing is false");
  }
  require_whole_steps(common, "logging_steps", config.logging_steps);
  require_whole_steps(common, "save_steps", config.save_steps);
  if (config.eval_steps) require_whole_steps(common, "eval_steps", *config.eval_steps);
  if (config.max_steps == 0) {
    fail(ErrorKind::kConfig, "{}: expected a number of steps above 0, or -1 for num_train_epochs; found 0", common.place_of("max_steps"));
  }
  if (config.max_steps > 0 && common.given("num_train_epochs")) {
    common.notices.push_back(fmt::format("num_train_epochs has no effect: max_steps {} wins", config.max_steps));
  }
  if (config.warmup_steps > 0 && config.warmup_ratio > 0) {
    common.notices.push_back(fmt::format("warmup_ratio has no effect: warmup_steps {} wins", config.warmup_steps));
  }
  if (config.max_steps > 0 && config.warmup_steps > config.max_steps) {
    common.notices.push_back(fmt::format("warmup_steps {} is more than max_steps {}: the peak learning rate is never reached",
                                         config.warmup_steps, config.max_steps));
  }
  if (config.eval_strategy == IntervalStrategy::kNo && common.given("eval_steps")) {
    common.notices.push_back("eval_steps has no effect: eval_strategy is no");
  }
  if (data.dataset_mixture && !data.dataset_mixture->test_split_size && config.evaluates()) {
    fail(ErrorKind::kConfig, "{}: an evaluation needs a test split; give dataset_mixture a test_split_size, or set eval_strategy: no",
         common.place_of(config.eval_strategy != IntervalStrategy::kNo ? "eval_strategy" : "do_eval"));
  }
  if (config.save_only_model && config.save_hf == false) {
    fail(ErrorKind::kConfig, "{}: save_only_model writes Hugging Face files only; drop save_hf: false", common.place_of("save_hf"));
  }
  if (!config.benchmarks.empty() && config.save_hf == false) {
    fail(ErrorKind::kConfig, "{}: benchmarks evaluate the Hugging Face files of a checkpoint; drop save_hf: false",
         common.place_of("save_hf"));
  }
  if (config.resume_from_checkpoint && config.overwrite_output_dir && common.row("overwrite_output_dir")->origin == "flag") {
    fail(ErrorKind::kUsage, "--resume_from_checkpoint goes on with a run and --overwrite_output_dir replaces it; give one of them");
  }
  const AccelerateConfig& accelerate = config.accelerate;
  if (accelerate.num_processes && *accelerate.num_processes != common.world_size && !config.num_processes) {
    common.notices.push_back(fmt::format("{}: 'num_processes' is {}, the job has {} rank{}: the job counts", accelerate.path,
                                         *accelerate.num_processes, common.world_size, common.world_size == 1 ? "" : "s"));
  }
  if (accelerate.sharding_strategy != ShardingStrategy::kReplicated && common.world_size == 1) {
    common.notices.push_back(fmt::format("{} with one rank equals plain training: there is nobody to share with",
                                         accelerate.sharding_strategy == ShardingStrategy::kZero2 ? "ZeRO-2" : "ZeRO-3"));
  }
  config.num_trainers = common.world_size;
  config.num_generators = 0;
}

}  // namespace

void check(SftConfig& config) {
  check_trainer(config, config, config);
  if (config.num_processes) {
    fail(ErrorKind::kUsage, "--num_processes splits trainers from generators, and only grpo has generators; drop it (all {} rank{} train)",
         config.world_size, config.world_size == 1 ? "" : "s");
  }
  if (config.packing && !config.max_length) {
    fail(ErrorKind::kConfig, "{}: packing needs blocks of max_length tokens, and it is null", config.place_of("max_length"));
  }
  if (!config.packing && !config.eval_packing.value_or(false)) {
    for (const char* key : {"packing_strategy", "packing_attention"}) {
      if (config.given(key)) config.notices.push_back(fmt::format("{} has no effect: packing is false", key));
    }
  }
}

namespace {

// G·⌊B/G⌋ completions are used; the notice names the nearest values that use all.
void check_grpo_batch(GrpoConfig& config) {
  const std::int64_t batch = config.completions_per_step(), group = config.num_generations;
  const std::string arithmetic =
      fmt::format("per_device_train_batch_size {} × {} trainer{} × gradient_accumulation_steps {} = {} completions per step",
                  config.per_device_train_batch_size, config.num_trainers, config.num_trainers == 1 ? "" : "s",
                  config.gradient_accumulation_steps, batch);
  if (batch < group) {
    const std::int64_t per_micro_step = std::int64_t{config.per_device_train_batch_size} * config.num_trainers;
    fail(ErrorKind::kConfig,
         "{}: {}, fewer than one group of {}; set gradient_accumulation_steps to at least {}, or num_generations to at most {}",
         config.place_of("num_generations"), arithmetic, group, (group + per_micro_step - 1) / per_micro_step, batch);
  }
  if (batch % group == 0) return;
  std::int64_t smaller = group, larger = group;
  while (batch % smaller != 0) --smaller;
  while (batch % larger != 0) ++larger;  // ends at batch
  const std::int64_t per_micro_step = batch / config.gradient_accumulation_steps;
  std::int64_t accumulation = config.gradient_accumulation_steps;
  while (per_micro_step * accumulation % group != 0) ++accumulation;  // ends within group steps
  config.notices.push_back(fmt::format(
      "{}; groups of {} use {} of them, {} are not generated; nearest exact values: num_generations {}{}, or gradient_accumulation_steps "
      "{}",
      arithmetic, group, batch / group * group, batch % group, smaller >= 2 ? fmt::format("{} or ", smaller) : "", larger, accumulation));
}

void check_grpo_layout(GrpoConfig& config) {
  if (config.num_processes) {
    if (*config.num_processes > config.world_size) {
      fail(ErrorKind::kUsage, "--num_processes: expected 1 to {} trainers (the world size), found {}", config.world_size,
           *config.num_processes);
    }
    config.num_trainers = *config.num_processes;
    config.num_generators = config.world_size - config.num_trainers;
  }
  const int generating = config.num_generators > 0 ? config.num_generators : config.num_trainers;
  if (generating % config.rollout_tensor_parallel_size != 0) {
    fail(ErrorKind::kConfig, "{}: expected a divisor of the {} ranks that generate, found {}",
         config.place_of("rollout_tensor_parallel_size"), generating, config.rollout_tensor_parallel_size);
  }
}

// All completions of an optimizer step are generated once; other cadences of the original are not offered.
void check_generation_cadence(const GrpoConfig& config) {
  if (config.generation_batch_size && config.steps_per_generation) {
    fail(ErrorKind::kConfig, "{}: generation_batch_size and steps_per_generation exclude each other; drop both",
         config.place_of("generation_batch_size"));
  }
  if (config.steps_per_generation && *config.steps_per_generation != config.gradient_accumulation_steps) {
    fail(ErrorKind::kConfig,
         "{}: all completions of an optimizer step are generated at once, so that it can only be gradient_accumulation_steps {}; found {}",
         config.place_of("steps_per_generation"), config.gradient_accumulation_steps, *config.steps_per_generation);
  }
  if (config.generation_batch_size && *config.generation_batch_size != config.completions_per_step()) {
    fail(ErrorKind::kConfig, "{}: all completions of an optimizer step are generated at once, so that it can only be {}; found {}",
         config.place_of("generation_batch_size"), config.completions_per_step(), *config.generation_batch_size);
  }
}

}  // namespace

void check(GrpoConfig& config) {
  check_trainer(config, config, config);
  check_grpo_layout(config);
  check_generation_cadence(config);
  check_grpo_batch(config);
  if (config.reward_funcs.empty()) fail(ErrorKind::kConfig, "{}: expected one reward or more, found none", config.place_of("reward_funcs"));
  if (!config.reward_weights.empty() && config.reward_weights.size() != config.reward_funcs.size()) {
    fail(ErrorKind::kConfig, "{}: expected one weight per reward ({}: {}), found {}", config.place_of("reward_weights"),
         config.reward_funcs.size(), join(config.reward_funcs, ", "), config.reward_weights.size());
  }
  if (config.epsilon > 1 && !config.epsilon_high) {
    fail(ErrorKind::kConfig, "{}: expected a clip range from 0 to 1, found {}; give the upper range as epsilon_high",
         config.place_of("epsilon"), config.epsilon);
  }
  if (config.soft_punish_cache > config.max_completion_len) {
    fail(ErrorKind::kConfig, "{}: expected at most max_completion_len {}, found {}", config.place_of("soft_punish_cache"),
         config.max_completion_len, config.soft_punish_cache);
  }
  if (config.sync_ref_model && config.beta == 0) {
    config.notices.push_back("sync_ref_model has no effect: beta is 0, and there is no reference model");
  }
}

namespace {

void check_parallel(const CommonConfig& common, int tensor_parallel_size, int pipeline_parallel_size) {
  const int ranks = tensor_parallel_size * pipeline_parallel_size;
  if (common.world_size % ranks == 0) return;
  fail(ErrorKind::kUsage,
       "tensor_parallel_size {} × pipeline_parallel_size {} = {} ranks: expected a divisor of the world size {}; start a multiple of {} "
       "ranks",
       tensor_parallel_size, pipeline_parallel_size, ranks, common.world_size, ranks);
}

}  // namespace

void check(GenerateConfig& config) {
  check_parallel(config, config.tensor_parallel_size, config.pipeline_parallel_size);
  if (config.min_new_tokens > config.max_new_tokens) {
    fail(ErrorKind::kUsage, "{}: expected at most max_new_tokens {}, found {}", config.place_of("min_new_tokens"), config.max_new_tokens,
         config.min_new_tokens);
  }
  if (config.chat_template_off && (config.chat_template || config.system_prompt)) {
    fail(ErrorKind::kUsage, "--no_chat_template sends the prompt as plain text; drop {}",
         config.chat_template ? "--chat_template" : "--system_prompt");
  }
  if (config.temperature == 0.0 && config.num_generations > 1) {
    config.notices.push_back(fmt::format("temperature is 0: all {} samples of a prompt will be the same", config.num_generations));
  }
}

void check(BenchConfig& config) {
  check_parallel(config, config.tensor_parallel_size, config.pipeline_parallel_size);
  if (!config.compare.empty()) {
    if (config.compare.size() != 2) fail(ErrorKind::kUsage, "--compare: expected two results, found {}", config.compare.size());
    return;
  }
  if (config.model.empty()) fail(ErrorKind::kUsage, "missing: --model (or --compare A B)");
  if (config.tasks.empty()) fail(ErrorKind::kUsage, "missing: --tasks, such as math_500,aime24");
  if (config.output_dir.empty()) fail(ErrorKind::kUsage, "missing: --output-dir, the folder for results, details and report.html");
  if (config.max_model_len && *config.max_model_len <= config.max_new_tokens) {
    fail(ErrorKind::kUsage, "{}: {} leaves no room for a prompt and max_new_tokens {}: answers would be cut short; lower --max-new-tokens",
         config.place_of("max_model_len"), *config.max_model_len, config.max_new_tokens);
  }
  if (config.chat_template_off && config.system_prompt) {
    fail(ErrorKind::kUsage, "--no_chat_template sends the problem as plain text; drop --system_prompt");
  }
}

}  // namespace r1::config
