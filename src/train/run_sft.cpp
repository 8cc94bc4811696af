#include "train/run_sft.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory_note.h"
#include "base/strings.h"
#include "checkpoint/hf_export.h"
#include "checkpoint/hf_import.h"
#include "comm/activity.h"
#include "comm/device_communicator.h"
#include "comm/topology.h"
#include "config/loader.h"
#include "data/builtin_tasks.h"
#include "data/open_dataset.h"
#include "models/registry.h"
#include "ops/device_context.h"
#include "preflight/checks.h"
#include "train/greedy_preview.h"
#include "train/model_setup.h"
#include "train/run_checkpoints.h"
#include "train/sft_data.h"
#include "train/trainer.h"
#include "train/training_plan.h"
#include "train/training_report.h"
#include "train/training_setup.h"

namespace r1::train {
namespace {

constexpr std::int64_t kPlanRows = 1000;

// Keys of the interface whose parts of the suite are still to come: given, they would change what the user gets.
constexpr const char* kNotInThisVersion[] = {"pad_token"};
// Keys that have no effect on supervised training, and on one rank.
constexpr const char* kWithoutEffect[] = {"system_prompt", "wandb_entity", "wandb_project", "wandb_run_group"};
constexpr const char* kWithoutEffectOnOneRank[] = {"watchdog_seconds", "deterministic_reduction"};

void refuse_what_is_not_there_yet(const config::SftConfig& config) {
  for (const char* key : kNotInThisVersion) {
    if (config.given(key))
      fail(ErrorKind::kConfig, "{} is not supported by this version of r1_train sft; leave it out", config.place_of(key));
  }
  check_benchmarks(config, config);
  for (const char* key : kWithoutEffect) {
    const bool is_of_benchmarks = std::string_view(key) == "system_prompt" && !config.benchmarks.empty();
    if (config.given(key) && !is_of_benchmarks) log::notice("{} has no effect on supervised training", config.place_of(key));
  }
  for (const char* key : kWithoutEffectOnOneRank) {
    if (config.given(key) && config.world_size == 1)
      log::notice("{} has no effect on supervised training on one rank", config.place_of(key));
  }
  if (config.dataset_config && !config.dataset_mixture &&
      (data::is_builtin(config.dataset_name) || std::filesystem::is_regular_file(config.dataset_name))) {
    log::notice("{} has no effect: {} has no configurations", config.place_of("dataset_config"), config.dataset_name);
  }
  if (config.world_size == 1 && config.accelerate.sharding_strategy != config::ShardingStrategy::kReplicated) {
    log::notice("{}: with one rank every ZeRO stage equals plain training", config.accelerate.path);
  }
}

ModelSetup prepare(const config::SftConfig& config) {
  refuse_what_is_not_there_yet(config);
  return open_model(config, config, config);
}

// max_rows: the first ones alone, without the cache (pre-flight); -1: all.
std::shared_ptr<const TrainingRows> load_eval_rows(const config::SftConfig& config, const ModelSetup& setup, ThreadPool& threads,
                                                   std::int64_t max_rows) {
  if (!config.evaluates()) return nullptr;
  const SftDataOptions options{config.dataset_test_split, config.eval_packing.value_or(config.packing), max_rows, max_rows < 0};
  SftData data = load_sft_data(config, options, *setup.tokenizer, setup.chat, setup.model_config.vocab_size, threads);
  log::info("evaluation: {} rows of split '{}', {} tokens", data.summary.num_rows, config.dataset_test_split, data.summary.num_tokens);
  return data.rows;
}

std::string describe(const SftDataSummary& summary, const config::SftConfig& config) {
  std::string text = fmt::format("{} {} documents, {} rows, {} tokens, {} of them learnt", summary.num_documents, summary.row_kind,
                                 summary.num_rows, summary.num_tokens, summary.num_targets);
  if (summary.truncated_documents > 0) {
    text += fmt::format("; {} documents cut to max_length {} ({} tokens lost)", summary.truncated_documents, config.max_length.value_or(0),
                        summary.truncated_tokens);
  }
  if (summary.skipped_documents > 0) text += fmt::format("; {} documents over max_length skipped", summary.skipped_documents);
  if (config.packing) text += fmt::format("; blocks are {:.1f} % full", 100 * summary.packing_efficiency);
  return text + (summary.from_cache ? "; tokens from the cache" : "");
}

PlanInputs plan_inputs(const config::SftConfig& config, const ModelSetup& setup, std::int64_t num_rows, int ranks_on_host) {
  const std::int64_t rows_per_step =
      std::int64_t{config.per_device_train_batch_size} * config.gradient_accumulation_steps * config.world_size;
  const std::int64_t steps_per_epoch = std::max<std::int64_t>(1, (num_rows + rows_per_step - 1) / rows_per_step);
  return {setup.model_folder, setup.model_config, setup.save_dtype, total_steps(config, steps_per_epoch),
          steps_per_epoch,    ranks_on_host,      setup.device};
}

void print_plan(const config::SftConfig& config, const ModelSetup& setup) {
  const auto ctx = make_cpu_context(config.num_threads);
  const std::int64_t max_rows = config.plan == config::PlanMode::kFull ? std::numeric_limits<std::int64_t>::max() : kPlanRows;
  const SftDataOptions options{config.dataset_train_split, config.packing, max_rows, false};
  const auto dataset = open_training_dataset(config, config.dataset_train_split, -1);
  const SftData data = setup.tokenizer
                           ? load_sft_data(config, options, *setup.tokenizer, setup.chat, setup.model_config.vocab_size, ctx->threads())
                           : longest_possible_rows(config, setup.model_config, dataset->num_rows());
  // A test split that is missing or broken is told here.
  const auto eval_rows = setup.tokenizer ? load_eval_rows(config, setup, ctx->threads(), max_rows) : nullptr;
  const double rows_per_document = static_cast<double>(data.summary.num_rows) / static_cast<double>(data.summary.num_documents);
  const double rows = rows_per_document * static_cast<double>(dataset->num_rows());
  const PlanInputs inputs = plan_inputs(config, setup, static_cast<std::int64_t>(std::ceil(rows)), 1);
  make_schedule(config, inputs.max_steps);
  const bool is_whole = data.summary.num_documents == dataset->num_rows();
  const MicroBatchShapes shapes = micro_batch_shapes(config, *data.rows, is_whole, inputs.max_steps);
  std::optional<MicroBatchShapes> evaluation;
  if (eval_rows) {
    config::SftConfig of_evaluation = config;
    of_evaluation.per_device_train_batch_size = config.per_device_eval_batch_size;
    evaluation = micro_batch_shapes(of_evaluation, *eval_rows, false, 1);
  }
  plan::JobPlan plan = plan_sft(config, inputs, shapes, evaluation ? &*evaluation : nullptr);
  const double rows_per_step =
      static_cast<double>(config.per_device_train_batch_size) * config.gradient_accumulation_steps * config.world_size;
  const double tokens_per_row = static_cast<double>(data.summary.num_tokens) / static_cast<double>(data.summary.num_rows);
  plan.tokens_per_step = rows_per_step * tokens_per_row;
  plan.step_flops = plan.tokens_per_step * setup.model_config.train_flops_per_token(tokens_per_row) / config.world_size;
  plan.data = fmt::format(
      "{}: {}{}", dataset_title(config), describe(data.summary, config),
      is_whole ? ""
               : fmt::format(" (first {} of {} documents read; --plan full reads all)", data.summary.num_documents, dataset->num_rows()));
  plan.more.emplace_back("steps", fmt::format("{} ({} an epoch, {} rows a step)", inputs.max_steps, inputs.steps_per_epoch, rows_per_step));
  plan::set_speed(config, *ctx, plan);
  plan::print_plan(config, plan, data.first_row.empty() ? "" : fmt::format("first row    learnt between ⟦ and ⟧:\n{}\n", data.first_row));
  check_room_for_output(config, trainer_options(config, inputs.max_steps, inputs.steps_per_epoch),
                        static_cast<std::uint64_t>(plan.memory.num_parameters), setup.save_dtype);
}

/// A few rows of the test split whose completions the report shows.
struct Preview {
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::string> prompt_texts, golds;
};

constexpr std::int64_t kPreviewRows = 8;
constexpr std::int64_t kPreviewNewTokens = 64;

// Only built-in tasks: their prompts are short and their answers known.
Preview make_preview(const config::SftConfig& config, const ModelSetup& setup) {
  Preview preview;
  if (!data::is_builtin(config.dataset_name) || setup.chat == nullptr) return preview;
  const auto rows = data::open_dataset({config.dataset_name, std::nullopt, "test"});
  for (std::int64_t i = 0; i < std::min(kPreviewRows, rows->num_rows()); ++i) {
    const Json row = rows->row(i);
    const Json messages = data::prompt_messages(row.at("prompt"), std::nullopt, rows->where(i));
    const std::string text = setup.chat->render(messages, /*add_generation_prompt=*/true, Json(), Json()).text;
    preview.prompts.push_back(setup.tokenizer->encode(text, {.add_special_tokens = false}));
    preview.prompt_texts.push_back(text);
    preview.golds.push_back(row.at("answer").is_string() ? row.at("answer").get<std::string>() : row.at("answer").dump());
  }
  return preview;
}

// For the log: without line breaks, and not longer than a line.
std::string one_line(const std::string& text) {
  constexpr std::size_t kShown = 100;
  std::string line = replace_all(text, "\n", "⏎");
  if (line.size() > kShown) {
    line.resize(kShown);
    line = replace_invalid_utf8(line) + "…";
  }
  return line;
}

void show_preview(const Preview& preview, const ModelSetup& setup, const TrainerParts& parts, std::int64_t step,
                  std::vector<report::CompletionRecord>& records) {
  if (preview.prompts.empty()) return;
  std::vector<std::vector<std::int32_t>> completions;
  try {
    completions =
        greedy_completions(parts.ctx, parts.model, parts.runner, preview.prompts, setup.tokenizer->end_of_turn_ids(), kPreviewNewTokens);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kNumeric) throw;
    log::warning("no completions to show: {}", error.what());  // the training step judges it, with step and place
    return;
  }
  log::info("greedy completions {}:", step == 0 ? "before training" : "after training");
  for (std::size_t i = 0; i < completions.size(); ++i) {
    const std::string text = setup.tokenizer->decode(completions[i]);
    if (i < 4) log::info("  {} → {}   (answer {})", preview.prompt_texts[i], one_line(text), preview.golds[i]);
    report::CompletionRecord record;
    record.step = step;
    record.prompt = preview.prompt_texts[i];
    record.completion = text;
    record.finish_reason = static_cast<std::int64_t>(completions[i].size()) < kPreviewNewTokens ? "stop" : "length";
    record.numbers = {{"tokens", static_cast<double>(completions[i].size())}};
    record.texts = {{"answer", preview.golds[i]}};
    records.push_back(std::move(record));
  }
}

// Rank 0 tokenises and writes the cache, the others read it: no collective is open meanwhile but the barrier, and none times out.
SftData load_training_data(const config::SftConfig& config, const ModelSetup& setup, ThreadPool& threads,
                           comm::Communicator& communicator) {
  const comm::Phase phase("reading and tokenising the data", comm::Patience::kLong);
  const SftDataOptions options{config.dataset_train_split, config.packing, -1, true};
  const auto load = [&] { return load_sft_data(config, options, *setup.tokenizer, setup.chat, setup.model_config.vocab_size, threads); };
  if (communicator.rank() != 0) {
    communicator.barrier("token cache");
    return load();
  }
  SftData data = load();
  communicator.barrier("token cache");
  return data;
}

// Of rows spread over the whole set: another file, template, length or packing gives another one.
std::string fingerprint(const TrainingRows& rows) {
  constexpr std::int64_t kSampledRows = 4096;
  Xxh3Stream stream;
  stream.update(std::to_string(rows.num_rows()));
  const std::int64_t stride = std::max<std::int64_t>(1, rows.num_rows() / kSampledRows);
  for (std::int64_t row = 0; row < rows.num_rows(); row += stride) {
    MicroBatch batch;
    rows.append_to(batch, row);
    stream.update(batch.input_ids.data(), batch.input_ids.size() * sizeof batch.input_ids[0]);
    stream.update(batch.labels.data(), batch.labels.size() * sizeof batch.labels[0]);
  }
  return stream.hex_digest();
}

}  // namespace

void run_sft(const config::SftConfig& config, comm::Communicator& communicator, int ranks_on_host) {
  const bool is_first_rank = communicator.rank() == 0;
  const ModelSetup setup = prepare(config);
  if (config.planning()) {
    if (is_first_rank) print_plan(config, setup);
    return;
  }

  const auto ctx = ops::make_context(setup.device, config.num_threads);
  if (setup.device.kind == DeviceKind::kCuda) log::info("device: {}", ops::describe_device(*ctx));
  const auto gpu_ranks = comm::make_device_communicator(*ctx, communicator);
  comm::Communicator& ranks = gpu_ranks ? *gpu_ranks : communicator;
  SftData data = load_training_data(config, setup, ctx->threads(), communicator);
  log::info("data: {}", describe(data.summary, config));
  const auto eval_rows = load_eval_rows(config, setup, ctx->threads(), -1);

  const PlanInputs inputs = plan_inputs(config, setup, data.rows->num_rows(), ranks_on_host);
  const plan::JobPlan plan = plan_sft(config, inputs, micro_batch_shapes(config, *data.rows, true, inputs.max_steps), nullptr);
  if (setup.device.kind == DeviceKind::kCpu) keep_within_memory(plan, ranks_on_host);  // a GPU's is told by its allocator
  set_memory_note(plan::to_text(plan));

  const auto model = models::make_model(setup.model_config);
  note_reduction(config, setup.device, config.world_size);
  const auto store = parallel::make_parameter_store(*ctx, model->parameters(), ranks, store_options(config, setup.device));
  nn::UnitRunner runner(model->parameters(), *store);
  checkpoint::load_weights(setup.model_folder, *model, *store);
  const TrainerParts parts{*ctx, *model, *store, runner};

  SftOptions options;
  options.per_device_train_batch_size = config.per_device_train_batch_size;
  options.per_device_eval_batch_size = config.per_device_eval_batch_size;
  options.gradient_accumulation_steps = config.gradient_accumulation_steps;
  options.data_seed = static_cast<std::uint64_t>(config.data_seed.value_or(config.seed));
  options.communicator = &ranks;
  SftObjective objective(*ctx, *model, options, data.rows, eval_rows);
  const std::int64_t max_steps = total_steps(config, objective.steps_per_epoch());
  const LrSchedule schedule = make_schedule(config, max_steps);

  const TrainerOptions trainer_settings = trainer_options(config, max_steps, objective.steps_per_epoch());
  check_room_for_output(config, trainer_settings, static_cast<std::uint64_t>(model->parameters().num_elements()), setup.save_dtype);
  log::info("model: {}, {} parameters; {} steps of {} rows on {}{} threads", setup.model_config.model_type,
            format_count(static_cast<double>(model->parameters().num_elements())), max_steps,
            std::int64_t{config.per_device_train_batch_size} * config.gradient_accumulation_steps * communicator.world_size(),
            communicator.world_size() > 1 ? fmt::format("{} ranks of ", communicator.world_size()) : "", ctx->threads().num_threads());

  TrainingReport training_report(config, "SFT");
  const Preview preview = make_preview(config, setup);
  show_preview(preview, setup, parts, 0, training_report.completions());
  const checkpoint::ExportOptions save_options{setup.save_dtype, std::filesystem::absolute(setup.model_folder).string(),
                                               config.chat_template ? setup.chat_template->source() : ""};
  const SaveModel save_model = [&](const std::string& folder) { checkpoint::export_model(folder, *model, *store, save_options); };
  const checkpoint::RunIdentity identity{
      "sft",
      checkpoint::fingerprint_model(setup.model_folder),
      fingerprint(*data.rows),
      config.seed,
      static_cast<std::int64_t>(options.data_seed),
      options.per_device_train_batch_size * options.gradient_accumulation_steps * communicator.world_size(),
      max_steps};
  RunCheckpoints checkpoints(config, config, parts, identity, save_options);
  Trainer trainer(parts, trainer_settings, schedule, objective, save_model, &checkpoints);
  const TrainResult result = trainer.run();
  show_preview(preview, setup, parts, result.global_step, training_report.completions());
  if (!is_first_rank) return;
  log::info("{} steps in {}: {:.0f} tokens/s, {:.0f} % of this machine's peak; first step done {} after the start", result.global_step,
            format_seconds(result.train_runtime), result.tokens_per_second, 100 * result.mean_fraction_of_peak,
            format_seconds(result.first_step_seconds));
  log::info("memory: {} taken by tensors at the highest, {} planned",
            format_bytes(static_cast<double>(ctx->allocator().stats().peak_bytes)), format_bytes(plan.memory.allocated_peak));
  training_report.write(config.output_dir + "/report.html", trainer.history(), result);
  log::info("report: {}/report.html", config.output_dir);
}

}  // namespace r1::train
