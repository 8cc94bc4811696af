#include "eval/bench_setup.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "config/loader.h"
#include "data/chat_renderer.h"
#include "eval/task_registry.h"
#include "generate/prompt_builder.h"
#include "generate/sampling_choice.h"
#include "hub/resolve.h"
#include "io/parquet_file.h"
#include "models/registry.h"

namespace r1::eval {
namespace {

constexpr std::int64_t kRowsPerPart = 5000;

void refuse_what_is_not_there() {
  if (!io::parquet_available()) {
    fail(ErrorKind::kData, "the details are Parquet files, which need libr1_parquet.so; to get it: tools/install_deps.sh && make build");
  }
}

std::int64_t max_model_len_of(const config::BenchConfig& config, const models::ModelConfig& model) {
  if (!config.max_model_len) return model.max_position_embeddings;
  if (*config.max_model_len > model.max_position_embeddings) {
    fail(ErrorKind::kUsage, "{}: {} is more than the model's {} positions", config.place_of("max_model_len"), *config.max_model_len,
         model.max_position_embeddings);
  }
  return *config.max_model_len;
}

/// Flags, then the profile; generation_config.json is not read (design: a score must not depend on a file that a user may edit).
ops::SamplingSettings sampling_of(const config::BenchConfig& config) {
  config::SamplingArgs args = config;
  const bool is_head = config.profile == config::BenchProfile::kHead;
  if (!args.temperature) args.temperature = is_head ? 0.6 : 0.0;
  if (!args.top_p) args.top_p = is_head ? 0.95 : 1.0;
  return generate::choose_sampling(args);
}

void warn_of_limits(const config::BenchConfig& config, const BenchSetup& setup, const Task& task) {
  if (task.generation_size == 0) return;
  if (config.max_new_tokens < task.generation_size) {
    log::warning("{}: max_new_tokens {} is below the task's {}: the score is not comparable with published ones", task.name,
                 config.max_new_tokens, task.generation_size);
  } else if (setup.max_model_len <= task.generation_size) {
    log::warning("{}: the model has {} positions for prompt and answer, and the task allows answers of {} tokens: longer ones are cut",
                 task.name, setup.max_model_len, task.generation_size);
  }
}

PreparedTask prepare_task(const config::BenchConfig& config, const BenchSetup& setup, Task task,
                          const std::shared_ptr<const data::ChatRenderer>& chat) {
  PreparedTask prepared;
  prepared.num_samples = config.num_samples.value_or(*std::ranges::max_element(task.sample_counts));
  const std::int64_t num_rows = std::min(task.dataset->num_rows(), config.max_samples.value_or(task.dataset->num_rows()));
  prepared.grid = {num_rows, prepared.num_samples, kRowsPerPart};
  generate::PromptSettings settings;
  settings.column = "prompt";
  settings.system_prompt = config.system_prompt ? config.system_prompt : config.chat_template_off ? std::nullopt : task.system_prompt;
  settings.use_chat_template = !config.chat_template_off;
  const generate::PromptBuilder builder(settings, *setup.tokenizer, chat);
  Xxh3Stream prompts_hash;
  for (std::int64_t index = 0; index < num_rows; ++index) {
    const Json row = task.dataset->row(index);
    generate::BuiltPrompt prompt = builder.build(task.prompt(row, index), task.dataset->where(index));
    prompts_hash.update(prompt.ids.data(), prompt.ids.size() * sizeof(prompt.ids[0]));
    prompts_hash.update("\n");
    prepared.golds.push_back(task.gold(row, index));
    prepared.prompts.push_back(std::move(prompt.text));
    prepared.ids.push_back(std::move(prompt.ids));
  }
  const auto name_of = [](auto choice) { return std::string(config::enum_names(choice)[static_cast<std::size_t>(choice)]); };
  const ops::SamplingSettings& s = setup.params.settings;
  prepared.job = {{"task", task.name},
                  {"version", std::string(config::suite_version())},
                  {"model", config.model},
                  {"model_hash", setup.model_hash},
                  {"tokenizer_hash", setup.tokenizer->content_hash()},
                  {"chat_template_hash", setup.chat_template ? Json(setup.chat_template->content_hash()) : Json()},
                  {"weight_storage", config.dtype ? Json(name_of(*config.dtype)) : Json("as stored")},
                  {"profile", name_of(config.profile)},
                  {"answer_kind", std::string(answer_kind_name(task.answer_kind))},
                  {"metric", task.metric},
                  {"dataset_hash", task.dataset->content_hash()},
                  {"prompts_hash", prompts_hash.hex_digest()},
                  {"system_prompt", settings.system_prompt ? Json(*settings.system_prompt) : Json()},
                  {"num_problems", num_rows},
                  {"num_samples", prepared.num_samples},
                  {"temperature", s.temperature},
                  {"top_p", s.top_p},
                  {"top_k", s.top_k},
                  {"min_p", s.min_p},
                  {"repetition_penalty", s.repetition_penalty},
                  {"max_new_tokens", config.max_new_tokens},
                  {"max_model_len", setup.max_model_len},
                  {"stop_token_ids", setup.params.stop_token_ids},
                  {"seed", config.seed}};
  warn_of_limits(config, setup, task);
  if (prepared.num_samples > 1 && s.temperature == 0) {
    log::warning("{}: {} samples of each problem at temperature 0 are all the same: give --temperature", task.name, prepared.num_samples);
  }
  prepared.task = std::move(task);
  return prepared;
}

}  // namespace

BenchSetup prepare_bench(const config::BenchConfig& config, comm::Communicator& ranks) {
  BenchSetup setup;
  setup.device = plan::device_of_job(config);
  refuse_what_is_not_there();
  setup.model_folder = hub::resolve(hub::Repository::kModel, config.model, config.model_revision);
  setup.model_config = models::load_model_config(setup.model_folder);
  models::make_model(setup.model_config);  // an unknown architecture is told before data is read
  models::check_model_can_be_cut(setup.model_config, config.tensor_parallel_size, config.pipeline_parallel_size);
  setup.max_model_len = max_model_len_of(config, setup.model_config);
  if (config.planning() && plan::holds_dimensions_alone(setup.model_folder)) return setup;
  setup.tokenizer = text::Tokenizer::load(setup.model_folder);
  if (!config.chat_template_off) {
    setup.chat_template = text::ChatTemplate::load(setup.model_folder);
    if (!setup.chat_template) {
      fail(ErrorKind::kUsage, "{} has no chat template: send the problem as plain text with --no-chat-template", setup.model_folder);
    }
  }
  setup.params.settings = sampling_of(config);
  setup.params.max_new_tokens = config.max_new_tokens;
  setup.params.stop_token_ids = checkpoint::load_generation_defaults(setup.model_folder, *setup.tokenizer).eos_token_ids;
  if (!config.planning()) setup.model_hash = checkpoint::model_content_hash(setup.model_folder, ranks);
  const auto chat = setup.chat_template ? data::make_chat_renderer(*setup.chat_template, *setup.tokenizer) : nullptr;
  for (const std::string& name : task_names(config.tasks)) {
    Task task = open_task(name, {config.profile, config.data_dir, static_cast<std::uint64_t>(config.seed)});
    setup.tasks.push_back(prepare_task(config, setup, std::move(task), chat));
  }
  for (std::size_t i = 0; i < setup.tasks.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (setup.tasks[i].task.name == setup.tasks[j].task.name)
        fail(ErrorKind::kUsage, "--tasks: '{}' stands twice", setup.tasks[i].task.name);
    }
  }
  return setup;
}

generate::GenerationJob generation_job(const config::BenchConfig& config, const BenchSetup& setup) {
  return {.program = "r1_bench",
          .model_folder = setup.model_folder,
          .model = setup.model_config,
          .dtype = config.dtype,
          .device = setup.device,
          .tensor_parallel_size = config.tensor_parallel_size,
          .pipeline_parallel_size = config.pipeline_parallel_size,
          .kv_cache_memory = config.kv_cache_memory,
          .num_sequences = config.max_num_sequences,
          .longest_prompt = setup.max_model_len - 1,
          .max_model_len = setup.max_model_len,
          .max_new_tokens = config.max_new_tokens,
          .num_samples = 1};
}

void print_bench_plan(const config::BenchConfig& config, const BenchSetup& setup) {
  const auto ctx = make_cpu_context(config.num_threads);
  std::int64_t longest_of_all = 0, num_samples = 0;
  std::vector<std::pair<std::string, std::string>> lines;
  std::string below;
  for (const PreparedTask& prepared : setup.tasks) {
    std::size_t longest = 0, too_long = 0;
    for (const auto& ids : prepared.ids) {
      longest = std::max(longest, ids.size());
      too_long += static_cast<std::int64_t>(ids.size()) >= setup.max_model_len ? 1 : 0;
    }
    longest_of_all = std::max(longest_of_all, static_cast<std::int64_t>(longest));
    num_samples += prepared.grid.num_items();
    lines.emplace_back(
        "task", fmt::format("{}: {} problems × {} samples, at most {} tokens in all; the longest prompt has {} tokens; {} "
                            "prompts do not fit",
                            prepared.task.name, prepared.grid.num_rows, prepared.num_samples,
                            format_count(static_cast<double>(prepared.grid.num_items() * setup.params.max_new_tokens)), longest, too_long));
    below += fmt::format("first prompt {} tokens:\n{}\n", prepared.ids.front().size(), prepared.prompts.front());
  }
  if (setup.tasks.empty()) {
    constexpr std::int64_t kPromptTokens = 1024;
    longest_of_all = std::min(kPromptTokens, setup.max_model_len / 2);
    num_samples = config.max_num_sequences;
    log::notice("{}: neither a tokenizer nor weights: the plan takes {} problems of {} tokens and opens no task", config.model, num_samples,
                longest_of_all);
  }
  generate::GenerationJob job = generation_job(config, setup);
  job.longest_prompt = std::clamp<std::int64_t>(longest_of_all, 1, setup.max_model_len - 1);
  job.num_samples = num_samples;
  plan::JobPlan plan = generate::plan_generation(config, job, *ctx);
  plan.more = std::move(lines);
  plan.more.emplace_back("sampling", fmt::format("temperature {}, top_p {}; at most {} new tokens", setup.params.settings.temperature,
                                                 setup.params.settings.top_p, config.max_new_tokens));
  plan::print_plan(config, plan, below);
}

}  // namespace r1::eval
