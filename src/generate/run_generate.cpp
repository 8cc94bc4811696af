#include "generate/run_generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/strings.h"
#include "checkpoint/inference_model.h"
#include "comm/device_communicator.h"
#include "config/loader.h"
#include "data/chat_renderer.h"
#include "data/open_dataset.h"
#include "engine/rank_layout.h"
#include "engine/work_queue.h"
#include "generate/generation_plan.h"
#include "generate/generation_report.h"
#include "generate/output_shards.h"
#include "generate/prompt_builder.h"
#include "generate/sample_runner.h"
#include "generate/sampling_choice.h"
#include "hub/resolve.h"
#include "io/parquet_file.h"
#include "models/registry.h"
#include "ops/device_context.h"
#include "preflight/checks.h"
#include "report/progress.h"

namespace r1::generate {
namespace {

constexpr std::int64_t kRowsPerPart = 5000;
constexpr std::int64_t kMaxResidentSequences = 256;

/// Everything that is known before the first weight is read.
struct Setup {
  std::string model_folder;
  models::ModelConfig model_config;
  std::optional<text::Tokenizer> tokenizer;
  checkpoint::GenerationDefaults defaults;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<PromptBuilder> prompts;
  data::DatasetPtr dataset;
  engine::SamplingParams params;
  SampleGrid grid;
  std::int64_t max_model_len = 0;
  Device device;
};

std::optional<text::ChatTemplate> chat_template_of(const config::GenerateConfig& config, const std::string& model_folder) {
  if (config.chat_template_off) return std::nullopt;
  std::optional<text::ChatTemplate> found =
      config.chat_template ? text::ChatTemplate::from_setting(*config.chat_template) : text::ChatTemplate::load(model_folder);
  if (!found) {
    fail(ErrorKind::kUsage, "{} has no chat template: give one with --chat-template, or send plain text with --no-chat-template",
         model_folder);
  }
  return found;
}

std::int64_t max_model_len_of(const config::GenerateConfig& config, const models::ModelConfig& model) {
  if (!config.max_model_len) return model.max_position_embeddings;
  if (*config.max_model_len > model.max_position_embeddings) {
    fail(ErrorKind::kUsage, "{}: {} is more than the model's {} positions", config.place_of("max_model_len"), *config.max_model_len,
         model.max_position_embeddings);
  }
  return *config.max_model_len;
}

Setup prepare(const config::GenerateConfig& config) {
  Setup setup;
  setup.device = plan::device_of_job(config);
  if (config.output_format == config::OutputFormat::kParquet && !io::parquet_available()) {
    fail(ErrorKind::kData,
         "{}: writing Parquet needs libr1_parquet.so; to get it: tools/install_deps.sh && make build. Or use "
         "--output-format jsonl",
         config.place_of("output_format"));
  }
  setup.model_folder = hub::resolve(hub::Repository::kModel, config.model, config.model_revision);
  setup.model_config = models::load_model_config(setup.model_folder);
  models::make_model(setup.model_config);  // an unknown architecture is told before data is read
  models::check_model_can_be_cut(setup.model_config, config.tensor_parallel_size, config.pipeline_parallel_size);
  setup.max_model_len = max_model_len_of(config, setup.model_config);
  const bool has_dimensions_alone = config.planning() && plan::holds_dimensions_alone(setup.model_folder);
  if (!has_dimensions_alone) {
    setup.tokenizer = text::Tokenizer::load(setup.model_folder);
    setup.defaults = checkpoint::load_generation_defaults(setup.model_folder, *setup.tokenizer);
    setup.chat_template = chat_template_of(config, setup.model_folder);
  }

  setup.dataset = data::open_dataset({config.hf_dataset, config.hf_dataset_config, config.hf_dataset_split});
  data::require_column(*setup.dataset, config.hf_dataset, config.prompt_column, "as the prompt (--prompt-column)");
  setup.grid.num_rows = std::min(setup.dataset->num_rows(), config.max_samples.value_or(setup.dataset->num_rows()));
  setup.grid.num_samples = config.num_generations;
  setup.grid.rows_per_part = kRowsPerPart;
  if (has_dimensions_alone) return setup;

  PromptSettings prompt_settings{config.prompt_column, config.prompt_template, config.given("prompt_template"), config.system_prompt,
                                 !config.chat_template_off};
  const auto chat = setup.chat_template ? data::make_chat_renderer(*setup.chat_template, *setup.tokenizer) : nullptr;
  setup.prompts.emplace(std::move(prompt_settings), *setup.tokenizer, chat);

  setup.params.settings = choose_sampling(config, setup.defaults);
  setup.params.max_new_tokens = config.max_new_tokens;
  setup.params.min_new_tokens = config.min_new_tokens;
  setup.params.ignore_eos = config.ignore_eos;
  setup.params.stop_token_ids = setup.defaults.eos_token_ids;
  setup.params.stop_texts = config.stop;
  if (config.num_generations > 1 && setup.params.settings.temperature == 0) {
    log::warning("{} samples of each prompt at temperature 0 are all the same: give --temperature", config.num_generations);
  }
  return setup;
}

BuiltPrompt prompt_of(const config::GenerateConfig& config, const Setup& setup, std::int64_t row) {
  const Json values = setup.dataset->row(row);
  return setup.prompts->build(data::column_value(*setup.dataset, row, values, config.prompt_column), setup.dataset->where(row));
}

/// Everything that the content of a sample depends on, and nothing that it does not depend on.
Json job_description(const config::GenerateConfig& config, const Setup& setup, const std::string& model_hash) {
  const ops::SamplingSettings& s = setup.params.settings;
  Json stop_ids(setup.params.stop_token_ids), stop_texts(config.stop);
  return {{"model", config.model},
          {"model_hash", model_hash},
          {"tokenizer_hash", setup.tokenizer->content_hash()},
          {"chat_template_hash", setup.chat_template ? Json(setup.chat_template->content_hash()) : Json()},
          {"weight_storage", config.dtype ? Json(std::string(config::enum_names(*config.dtype)[static_cast<std::size_t>(*config.dtype)]))
                                          : Json("as stored")},
          {"dataset", config.hf_dataset},
          {"dataset_split", config.hf_dataset_split},
          {"dataset_hash", setup.dataset->content_hash()},
          {"num_rows", setup.grid.num_rows},
          {"prompt_column", config.prompt_column},
          {"prompt_template", config.prompt_template},
          {"system_prompt", config.system_prompt ? Json(*config.system_prompt) : Json()},
          {"num_generations", config.num_generations},
          {"temperature", s.temperature},
          {"top_p", s.top_p},
          {"top_k", s.top_k},
          {"min_p", s.min_p},
          {"repetition_penalty", s.repetition_penalty},
          {"max_new_tokens", config.max_new_tokens},
          {"min_new_tokens", config.min_new_tokens},
          {"max_model_len", setup.max_model_len},
          {"ignore_eos", config.ignore_eos},
          {"stop_token_ids", std::move(stop_ids)},
          {"stop", std::move(stop_texts)},
          {"seed", config.seed},
          {"output_format", std::string(config::enum_names(config.output_format)[static_cast<std::size_t>(config.output_format)])},
          {"output_ids", config.output_ids}};
}

std::int64_t sequences_in_flight(const config::GenerateConfig& config) {
  return std::min(kMaxResidentSequences, std::int64_t{config.input_batch_size} * config.num_generations);
}

/// longest_prompt: tokens.
GenerationJob generation_job(const config::GenerateConfig& config, const Setup& setup, std::int64_t longest_prompt) {
  return {.program = "r1_generate",
          .model_folder = setup.model_folder,
          .model = setup.model_config,
          .dtype = config.dtype,
          .device = setup.device,
          .tensor_parallel_size = config.tensor_parallel_size,
          .pipeline_parallel_size = config.pipeline_parallel_size,
          .kv_cache_memory = config.kv_cache_memory,
          .num_sequences = static_cast<int>(sequences_in_flight(config)),
          .longest_prompt = std::min(longest_prompt, setup.max_model_len - 1),
          .max_model_len = setup.max_model_len,
          .max_new_tokens = config.max_new_tokens,
          .num_samples = setup.grid.num_items()};
}

void print_plan(const config::GenerateConfig& config, const Setup& setup) {
  const auto ctx = make_cpu_context(config.num_threads);
  const std::int64_t checked =
      config.plan == config::PlanMode::kFull ? setup.grid.num_rows : std::min<std::int64_t>(1000, setup.grid.num_rows);
  std::int64_t longest = 0, tokens = 0, too_long = 0;
  std::string prompts, below;
  if (setup.prompts) {
    for (std::int64_t row = 0; row < checked; ++row) {
      const auto length = static_cast<std::int64_t>(prompt_of(config, setup, row).ids.size());
      longest = std::max(longest, length);
      tokens += length;
      too_long += length >= setup.max_model_len ? 1 : 0;
    }
    prompts = fmt::format("{} rows read: {:.0f} tokens on average, the longest has {}; {} leave no room within max_model_len {}", checked,
                          static_cast<double>(tokens) / static_cast<double>(std::max<std::int64_t>(checked, 1)), longest, too_long,
                          setup.max_model_len);
    const BuiltPrompt first = prompt_of(config, setup, 0);
    below = fmt::format("first prompt {} tokens:\n{}\n", first.ids.size(), first.text);
  } else {
    longest = std::max<std::int64_t>(1, setup.max_model_len - config.max_new_tokens);
    log::notice("{}: neither a tokenizer nor weights: the plan takes every prompt as {} tokens and checks no row", config.model, longest);
  }
  plan::JobPlan plan = plan_generation(config, generation_job(config, setup, longest), *ctx);
  plan.data = fmt::format("{}: {} rows × {} samples", config.hf_dataset, setup.grid.num_rows, setup.grid.num_samples);
  if (!prompts.empty()) plan.more.emplace_back("prompts", prompts);
  plan.more.emplace_back("samples", fmt::format("at most {} tokens each, {} in all; end at ids {}", config.max_new_tokens,
                                                format_count(static_cast<double>(setup.grid.num_items() * config.max_new_tokens)),
                                                fmt::join(setup.params.stop_token_ids, ", ")));
  plan::print_plan(config, plan, below);
}

}  // namespace

void run_generate(const config::GenerateConfig& config, comm::World& world) {
  const bool is_first_rank = world.rank() == 0;
  const Setup setup = prepare(config);
  if (config.planning()) {
    if (is_first_rank) print_plan(config, setup);
    return;
  }

  // What cannot work is told before anything is written.
  prompt_of(config, setup, 0);
  const auto ctx = ops::make_context(setup.device, config.num_threads);
  ops::set_batch_invariant(*ctx, config.batch_invariant);
  if (setup.device.kind == DeviceKind::kCpu) {  // a GPU's memory is told by its allocator
    require_generation_memory(config, generation_job(config, setup, setup.max_model_len), ctx->threads().num_threads(),
                              world.topology().local_size);
  }
  const OutputSettings output{config.hf_output_dataset, config.output_format, config.model, config.output_ids};
  make_directories(output.folder);
  const Json job = job_description(config, setup, checkpoint::model_content_hash(setup.model_folder, world.communicator()));
  SampleJournal journal(output.folder + "/_journal", job, setup.grid, world.rank());
  for (std::int64_t part = 0; part < setup.grid.num_parts(); ++part) {
    if (std::filesystem::exists(part_path(output, part))) journal.mark_part_finished(part);
  }
  if (journal.num_finished() > 0) {
    log::notice("{}: {} of {} samples are finished already; going on with the others", output.folder, journal.num_finished(),
                setup.grid.num_items());
  }

  const bool is_complete = journal.num_finished() == setup.grid.num_items();
  world.communicator().barrier("journals read");  // before any rank appends

  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  GenerationSummary summary;
  summary.num_ranks = world.world_size();
  if (!is_complete) {
    const auto gpu_ranks =
        comm::make_device_communicator(*ctx, world.communicator(), config.tensor_parallel_size * config.pipeline_parallel_size);
    engine::RankLayout ranks(gpu_ranks ? *gpu_ranks : world.communicator(), config.tensor_parallel_size, config.pipeline_parallel_size);
    const auto loaded = checkpoint::load_inference_model(*ctx, setup.model_folder, weight_storage(config.dtype),
                                                         {ranks.tensor_rank(), ranks.tensor_size(), ranks.stage(), ranks.num_stages()});
    engine::EngineOptions options;
    options.seed = static_cast<std::uint64_t>(config.seed);
    options.max_model_len = setup.max_model_len;
    options.kv_cache_bytes = config.kv_cache_memory ? config.kv_cache_memory->bytes : 0;
    options.enforce_eager = config.enforce_eager;
    options.max_num_sequences = static_cast<int>(sequences_in_flight(config));
    options.ranks_sharing_memory = comm::ranks_sharing_memory(*ctx, world.communicator(), world.topology().local_size);
    options.ranks = &ranks;
    options.wants_to_stop = signals::stop_requested;
    engine::Engine engine(*ctx, *loaded->model, *loaded->runner, &*setup.tokenizer, options);
    log::info("model: {}, {} parameters{}, {} of weights; {} rows × {} samples on {} threads", setup.model_config.model_type,
              format_count(static_cast<double>(loaded->model->parameters().num_elements())), ranks.is_alone() ? "" : " on this rank",
              format_bytes(static_cast<double>(loaded->store->num_bytes())), setup.grid.num_rows, setup.grid.num_samples,
              ctx->threads().num_threads());
    SamplingJob sampling;
    sampling.prompt = [&](std::int64_t row) { return prompt_of(config, setup, row).ids; };
    sampling.params = [params = std::make_shared<const engine::SamplingParams>(setup.params)](std::int64_t) { return params; };
    sampling.max_model_len = setup.max_model_len;
    sampling.max_resident = options.max_num_sequences;
    sampling.ranks = &ranks;
    engine::WorkQueue queue(world.communicator(), setup.grid.num_items());
    report::Progress progress({.unit = "sample"});
    run_samples(engine, sampling, take_shared(*ctx, queue, ranks), journal,
                [&](const SamplingProgress& now) { progress.update(progress_state(now, elapsed())); });
    progress.finish();
    summary.engine = engine.stats();
  }
  summary.seconds = elapsed();
  for (const char stopped : world.communicator().host_gather_value<char>(signals::stop_requested() ? 1 : 0, "samples complete")) {
    if (stopped != 0) throw signals::Stopped();
  }
  if (!is_first_rank) return;

  Json provenance = job;
  provenance["version"] = std::string(config::suite_version());
  write_output(output, *setup.dataset, journal, provenance);
  write_generation_report(config, setup.grid, journal, summary, [&](std::int64_t row) { return prompt_of(config, setup, row).text; });
  journal.remove_records();
  log::info("{} rows in {} parts: {}", setup.grid.num_rows, setup.grid.num_parts(), output.folder);
}

}  // namespace r1::generate
