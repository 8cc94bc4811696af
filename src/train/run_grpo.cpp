#include "train/run_grpo.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory_note.h"
#include "base/signals.h"
#include "base/strings.h"
#include "checkpoint/hf_export.h"
#include "checkpoint/hf_import.h"
#include "comm/activity.h"
#include "comm/device_communicator.h"
#include "comm/topology.h"
#include "config/loader.h"
#include "models/registry.h"
#include "ops/device_context.h"
#include "preflight/checks.h"
#include "train/generator_link.h"
#include "train/grpo.h"
#include "train/model_setup.h"
#include "train/run_checkpoints.h"
#include "train/run_generator.h"
#include "train/sft_data.h"
#include "train/training_plan.h"
#include "train/training_report.h"
#include "train/training_setup.h"

namespace r1::train {
namespace {

constexpr std::int64_t kPlanRows = 1000;

// The question that every first run raises.
constexpr const char* kAboutTheLoss =
    "the loss of GRPO says little: at the first update of a rollout the ratio is 1 and a group's advantages add up to 0, so that loss_type "
    "grpo starts at 0, and the others near it (there a completion counts by its length); look at the reward";

struct Setup : ModelSetup {
  std::optional<rewards::WeightedRewards> rewards;
};

// Keys of the interface whose parts of the suite are still to come: given, they would change what the user gets.
constexpr const char* kNotInThisVersion[] = {"pad_token"};

void refuse_what_cannot_work(const config::GrpoConfig& config, const models::ModelConfig& model) {
  for (const char* key : kNotInThisVersion) {
    if (config.given(key))
      fail(ErrorKind::kConfig, "{} is not supported by this version of r1_train grpo; leave it out", config.place_of(key));
  }
  check_benchmarks(config, config);
  if (config.rollout_tensor_parallel_size > 1) models::check_model_can_be_cut(model, config.rollout_tensor_parallel_size, /*num_stages=*/1);
  if (config.num_trainers == 1 && config.accelerate.sharding_strategy != config::ShardingStrategy::kReplicated) {
    log::notice("{}: with one training rank every ZeRO stage equals plain training", config.accelerate.path);
  }
}

Setup prepare(const config::GrpoConfig& config) {
  std::optional<rewards::WeightedRewards> rewards(make_rewards(config));
  Setup setup{open_model(config, config, config), std::move(rewards)};
  refuse_what_cannot_work(config, setup.model_config);
  return setup;
}

GrpoPrompts load_prompts(const config::GrpoConfig& config, const Setup& setup, const std::string& split, std::int64_t max_rows,
                         ThreadPool& threads) {
  GrpoPrompts prompts = load_grpo_prompts(config, split, max_rows, setup.chat.get(), *setup.tokenizer, threads);
  log::info("{} prompts of split '{}', the longest has {} tokens{}{}", prompts.size(), split, prompts.longest(),
            prompts.num_truncated > 0 ? fmt::format("; {} cut on the left to max_prompt_length", prompts.num_truncated) : "",
            prompts.num_skipped > 0 ? fmt::format("; {} longer than max_prompt_length left out", prompts.num_skipped) : "");
  for (const GrpoPrompt& prompt : prompts.prompts) {
    const auto largest = *std::ranges::max_element(*prompt.ids);
    if (largest < setup.model_config.vocab_size) continue;
    fail(ErrorKind::kModel, "{}: token id {} from the tokenizer, but the model's vocab_size is {}: they do not belong together",
         config.model_name_or_path, largest, setup.model_config.vocab_size);
  }
  if (!prompts.opened.empty()) {
    log::notice("the chat template opens the answer with '{}': rewards see it in front of each completion",
                replace_all(prompts.opened, "\n", "⏎"));
  }
  return prompts;
}

PlanInputs plan_inputs(const config::GrpoConfig& config, const Setup& setup, std::int64_t num_prompts, int ranks_on_host) {
  const std::int64_t per_epoch = (num_prompts + config.groups_per_step() - 1) / config.groups_per_step() * config.num_iterations;
  return {setup.model_folder, setup.model_config, setup.save_dtype, total_steps(config, per_epoch), per_epoch, ranks_on_host, setup.device};
}

void print_plan(const config::GrpoConfig& config, const Setup& setup) {
  const auto ctx = make_cpu_context(config.num_threads);
  const std::int64_t max_rows = config.plan == config::PlanMode::kFull ? -1 : kPlanRows;
  const std::int64_t num_rows = open_training_dataset(config, config.dataset_train_split, -1)->num_rows();
  std::int64_t longest_prompt = config.max_prompt_length.value_or(setup.model_config.max_position_embeddings / 2);
  std::string column, below;
  if (setup.tokenizer) {
    const GrpoPrompts prompts = load_prompts(config, setup, config.dataset_train_split, max_rows, ctx->threads());
    check_rewards(*setup.rewards, prompts, prompts.size(), ctx->threads());
    if (config.evaluates()) load_prompts(config, setup, config.dataset_test_split, max_rows, ctx->threads());
    longest_prompt = prompts.longest();
    column = fmt::format(", column '{}', the longest read has {} tokens", prompts.column, longest_prompt);
    below = fmt::format("first prompt {} tokens:\n{}\n", prompts.prompts.front().ids->size(), prompts.first_rendered);
  } else {
    log::notice("{}: neither a tokenizer nor weights: the plan takes every prompt as {} tokens and checks no row",
                config.model_name_or_path, longest_prompt);
  }
  const PlanInputs inputs = plan_inputs(config, setup, num_rows, 1);
  make_schedule(config, inputs.max_steps);
  plan::JobPlan plan = plan_grpo(config, inputs, longest_prompt);
  plan.data = fmt::format("{}: {} prompts{}", dataset_title(config), num_rows, column);
  const std::int64_t completions = config.groups_per_step() * config.num_generations;
  plan.more.emplace_back("steps", fmt::format("{} ({} an epoch): {} prompts × {} completions each, {} micro-batches of {}",
                                              inputs.max_steps, inputs.steps_per_epoch, config.groups_per_step(), config.num_generations,
                                              (completions + config.per_device_train_batch_size - 1) / config.per_device_train_batch_size,
                                              config.per_device_train_batch_size));
  plan.more.emplace_back("rewards", join(config.reward_funcs, ", "));
  plan::set_speed(config, *ctx, plan);
  plan::print_plan(config, plan, below);
  check_room_for_output(config, trainer_options(config, inputs.max_steps, inputs.steps_per_epoch),
                        static_cast<std::uint64_t>(plan.memory.num_parameters), setup.save_dtype);
}

std::string ranks_text(const config::GrpoConfig& config) {
  if (config.num_generators > 0)
    return fmt::format("{} trainer{} and {} generator{} of ", config.num_trainers, config.num_trainers == 1 ? "" : "s",
                       config.num_generators, config.num_generators == 1 ? "" : "s");
  return config.num_trainers > 1 ? fmt::format("{} ranks of ", config.num_trainers) : "";
}

/// The generators end with the trainers: with the run, or with the signal that stopped it.
TrainResult run_with_generators(Trainer& trainer, GeneratorLink* link) {
  try {
    TrainResult result = trainer.run();
    if (link != nullptr) link->send({GeneratorOrder::Kind::kFinish, {}, {}, {}, {}});
    return result;
  } catch (const signals::Stopped&) {
    if (link != nullptr) link->send({GeneratorOrder::Kind::kStop, {}, {}, {}, {}});
    throw;
  }
}

std::string fingerprint(const GrpoPrompts& prompts) {
  Xxh3Stream stream;
  for (const GrpoPrompt& prompt : prompts.prompts) stream.update(prompt.ids->data(), prompt.ids->size() * sizeof prompt.ids->front());
  return stream.hex_digest();
}

}  // namespace

void run_grpo(const config::GrpoConfig& config, comm::World& world) {
  const bool is_first_rank = world.rank() == 0;
  const Setup setup = prepare(config);
  if (config.planning()) {
    if (is_first_rank) print_plan(config, setup);
    return;
  }

  const auto ctx = ops::make_context(setup.device, config.num_threads);
  ops::set_batch_invariant(*ctx, config.batch_invariant);
  if (setup.device.kind == DeviceKind::kCuda) log::info("device: {}", ops::describe_device(*ctx));
  const auto gpu_ranks = comm::make_device_communicator(*ctx, world.communicator());
  comm::Communicator& ranks = gpu_ranks ? *gpu_ranks : world.communicator();
  const GrpoPrompts prompts = load_prompts(config, setup, config.dataset_train_split, -1, ctx->threads());
  check_rewards(*setup.rewards, prompts, prompts.size(), ctx->threads());
  std::optional<GrpoPrompts> eval_prompts;
  if (config.evaluates()) eval_prompts = load_prompts(config, setup, config.dataset_test_split, -1, ctx->threads());
  log::info("first prompt: {}", prompts.first_rendered);

  const int ranks_on_host = world.topology().local_size;
  const int ranks_sharing_memory = comm::ranks_sharing_memory(*ctx, world.communicator(), ranks_on_host);
  const PlanInputs inputs = plan_inputs(config, setup, prompts.size(), ranks_on_host);
  const plan::JobPlan plan =
      plan_grpo(config, inputs, std::max(prompts.longest(), eval_prompts ? eval_prompts->longest() : std::int64_t{0}));
  if (setup.device.kind == DeviceKind::kCpu) {  // a GPU's is told by its allocator
    plan::JobPlan of_rank = plan;
    if (world.rank() >= config.num_trainers) of_rank.memory = plan.generator;
    keep_within_memory(of_rank, ranks_on_host);
  }
  set_memory_note(plan::to_text(plan));

  std::unique_ptr<GeneratorLink> link;
  if (config.num_generators > 0) {
    link = std::make_unique<GeneratorLink>(ranks, world.communicator(), config.num_trainers, config.rollout_tensor_parallel_size);
    if (link->is_generator()) {
      run_generator(*ctx, *link, setup.model_config, rollout_options(config, *setup.tokenizer, ranks_sharing_memory),
                    store_options(config, setup.device).working_dtype, prompts, eval_prompts ? &*eval_prompts : nullptr);
      link->largest_of_generators(static_cast<std::int64_t>(ctx->allocator().stats().peak_bytes), "memory");
      return;
    }
  }

  const auto model = models::make_model(setup.model_config);
  note_reduction(config, setup.device, config.num_trainers);
  const auto store =
      parallel::make_parameter_store(*ctx, model->parameters(), link ? link->own_group() : ranks, store_options(config, setup.device));
  nn::UnitRunner runner(model->parameters(), *store);
  checkpoint::load_weights(setup.model_folder, *model, *store);
  std::unique_ptr<checkpoint::InferenceModel> reference;
  if (config.beta > 0) reference = checkpoint::load_inference_model(*ctx, setup.model_folder, reference_storage(config, setup.device));
  const TrainerParts parts{*ctx, *model, *store, runner};

  TrainingReport training_report(config, "GRPO");
  RewardBreakdown breakdown(setup.rewards->functions().front()->name());
  const GrpoParts grpo_parts{parts,
                             *setup.tokenizer,
                             *setup.rewards,
                             prompts,
                             eval_prompts ? &*eval_prompts : nullptr,
                             reference.get(),
                             is_first_rank ? &training_report.completions() : nullptr,
                             is_first_rank ? &breakdown : nullptr,
                             link.get()};
  GrpoObjective objective(grpo_parts, config, ranks_sharing_memory);
  const std::int64_t max_steps = total_steps(config, objective.steps_per_epoch());
  const LrSchedule schedule = make_schedule(config, max_steps);
  const TrainerOptions trainer_settings = trainer_options(config, max_steps, objective.steps_per_epoch());
  check_room_for_output(config, trainer_settings, static_cast<std::uint64_t>(model->parameters().num_elements()), setup.save_dtype);
  log::info("model: {}, {} parameters; {} steps of {} prompts × {} completions on {}{} threads", setup.model_config.model_type,
            format_count(static_cast<double>(model->parameters().num_elements())), max_steps, config.groups_per_step(),
            config.num_generations, ranks_text(config), ctx->threads().num_threads());
  log::info("{}", kAboutTheLoss);

  const checkpoint::ExportOptions save_options{setup.save_dtype, std::filesystem::absolute(setup.model_folder).string(),
                                               config.chat_template ? setup.chat_template->source() : ""};
  const SaveModel save_model = [&](const std::string& folder) { checkpoint::export_model(folder, *model, *store, save_options); };
  const checkpoint::RunIdentity identity{"grpo",
                                         checkpoint::fingerprint_model(setup.model_folder),
                                         fingerprint(prompts),
                                         config.seed,
                                         config.data_seed.value_or(config.seed),
                                         config.groups_per_step() * config.num_generations,
                                         max_steps};
  RunCheckpoints checkpoints(config, config, parts, identity, save_options);
  Trainer trainer(parts, trainer_settings, schedule, objective, save_model, &checkpoints);
  const TrainResult result = run_with_generators(trainer, link.get());
  const auto own_peak = static_cast<std::int64_t>(ctx->allocator().stats().peak_bytes);
  const std::int64_t generator_peak = link ? link->largest_of_generators(own_peak, "memory") : 0;
  if (!is_first_rank) return;
  log::info("{} steps in {}", result.global_step, format_seconds(result.train_runtime));
  log::info("memory: {} taken by tensors at the highest, {} planned", format_bytes(static_cast<double>(own_peak)),
            format_bytes(plan.memory.allocated_peak));
  if (link) {
    log::info("memory of a generator: {} taken by tensors at the highest, {} planned", format_bytes(static_cast<double>(generator_peak)),
              format_bytes(plan.generator.allocated_peak));
  }
  training_report.add_note(kAboutTheLoss);
  if (auto table = breakdown.table()) training_report.add_table(std::move(*table));
  training_report.write(config.output_dir + "/report.html", trainer.history(), result);
  log::info("report: {}/report.html", config.output_dir);
}

}  // namespace r1::train
