// r1_inspect ask: one question, the answer as it comes.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "apps/inspect/model_commands.h"
#include "apps/inspect/thinking_printer.h"
#include "base/log.h"
#include "base/strings.h"
#include "checkpoint/inference_model.h"
#include "config/generate_config.h"
#include "data/chat_renderer.h"
#include "engine/engine.h"
#include "generate/prompt_builder.h"
#include "generate/sampling_choice.h"
#include "hub/resolve.h"
#include "text/stream_decoder.h"

namespace r1::apps {
namespace {

struct AskOptions : config::SamplingArgs {
  std::string model, question;
  std::optional<std::string> system_prompt, chat_template;
  bool chat_template_off = false;
  std::int64_t max_new_tokens = 4096;
  std::int64_t seed = 42;
  int num_threads = 0;
  std::optional<config::GenerationDType> dtype;
};

config::FieldList ask_fields(AskOptions& options) {
  config::FieldList fields;
  fields.positional("QUESTION", options.question, "What to ask.");
  fields.add("model", options.model, "Local folder, or a name under R1_MODELS or the Hugging Face cache.").required();
  fields.add("system_prompt", options.system_prompt, "System message before the question.");
  fields.add("chat_template", options.chat_template, "Chat template in place of the tokenizer's: a text, or the path of a file.");
  fields.add("no_chat_template", options.chat_template_off, "Continue the question as plain text.");
  fields.add("max_new_tokens", options.max_new_tokens, "Longest answer.").at_least(1);
  fields.add("seed", options.seed, "Seed of the draws.");
  fields.add("num_threads", options.num_threads, "0: all processors.").at_least(0);
  fields.add("dtype", options.dtype, "Storage of the weights.").choice_alias("bf16", "bfloat16").shown_default("as on disk");
  config::add_sampling_fields(fields, options);
  return fields;
}

std::shared_ptr<const data::ChatRenderer> chat_of(const AskOptions& options, const checkpoint::InferenceModel& loaded) {
  if (options.chat_template_off) return nullptr;
  const auto found =
      options.chat_template ? text::ChatTemplate::from_setting(*options.chat_template) : text::ChatTemplate::load(loaded.folder);
  if (found) return data::make_chat_renderer(*found, loaded.tokenizer);
  fail(ErrorKind::kUsage, "{} has no chat template: give one with --chat-template, or continue plain text with --no-chat-template",
       loaded.folder);
}

}  // namespace

int run_ask(std::span<const std::string> arguments) {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds_since_start = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  AskOptions options;
  config::FieldList fields = ask_fields(options);
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect ask --model DIR \"question\"", "The answer as it is generated; the thinking part is dimmed."));
    return 0;
  }
  const auto ctx = make_cpu_context(options.num_threads);
  const std::string folder = hub::resolve(hub::Repository::kModel, options.model);
  const auto loaded = checkpoint::load_inference_model(*ctx, folder, generate::weight_storage(options.dtype));
  const auto chat = chat_of(options, *loaded);
  generate::PromptSettings prompt_settings;
  prompt_settings.system_prompt = options.system_prompt;
  prompt_settings.use_chat_template = chat != nullptr;
  const generate::PromptBuilder prompts(prompt_settings, loaded->tokenizer, chat);
  const generate::BuiltPrompt prompt = prompts.build(options.question, "the question");

  engine::SamplingParams params;
  params.settings = generate::choose_sampling(options, loaded->defaults);
  params.max_new_tokens = options.max_new_tokens;
  params.stop_token_ids = loaded->defaults.eos_token_ids;
  engine::EngineOptions engine_options;
  engine_options.seed = static_cast<std::uint64_t>(options.seed);
  engine_options.max_num_sequences = 1;
  engine::Engine engine(*ctx, *loaded->model, *loaded->runner, &loaded->tokenizer, engine_options);

  ThinkingPrinter printer(::isatty(STDOUT_FILENO) == 1, trim(prompt.text).ends_with("<think>"));
  text::StreamDecoder decoder(loaded->tokenizer, {.skip_special_tokens = true});
  const auto show = [](const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  double first_token_seconds = 0;
  std::int64_t num_tokens = 0;
  engine.add({0, 0, std::make_shared<std::vector<std::int32_t>>(prompt.ids), std::make_shared<engine::SamplingParams>(params),
              [&](std::int32_t id) {
                if (num_tokens++ == 0) first_token_seconds = seconds_since_start();
                show(printer.add(decoder.add(id)));
              }});
  engine::Completion completion;
  while (engine.has_unfinished()) {
    for (engine::Completion& done : engine.step()) completion = std::move(done);
  }
  show(printer.add(decoder.flush()) + printer.flush() + "\n");
  const double seconds = seconds_since_start() - first_token_seconds;
  const bool is_cut = completion.finish_reason != engine::FinishReason::kStop;
  log::info("{} prompt and {} new tokens{}; first after {}, then {:.1f} tokens/s", prompt.ids.size(), num_tokens,
            is_cut ? " (cut at the limit)" : "", format_seconds(first_token_seconds),
            num_tokens > 1 ? static_cast<double>(num_tokens - 1) / seconds : 0.0);
  return 0;
}

}  // namespace r1::apps
