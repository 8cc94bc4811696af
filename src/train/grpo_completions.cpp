// What people see of a GRPO step: completions/step-*.jsonl, lines in the log, rows of the report.
#include <fmt/format.h>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "data/builtin_tasks.h"
#include "train/grpo.h"

namespace r1::train {
namespace {

constexpr std::size_t kShownInReport = 16;  // of each logged step

Json record_of(const RolloutCompletion& completion, const GrpoPrompts& prompts, const std::string& prompt_text,
               const rewards::WeightedRewards& rewards, std::int64_t step, const WeightsStamp& weights) {
  Json record{{"step", step},
              {"row", prompts.prompts[static_cast<std::size_t>(completion.prompt)].row},
              {"prompt_number", completion.prompt_number},
              {"sample", completion.sample},
              {"prompt", prompt_text}};
  if (!prompts.opened.empty()) record["opened"] = prompts.opened;
  record["completion"] = completion.text;
  record["num_tokens"] = completion.ids.size();
  record["finish_reason"] = completion.is_truncated ? "length" : "stop";
  Json by_function = Json::object();
  for (std::size_t f = 0; f < rewards.functions().size(); ++f) {
    const auto& value = completion.rewards[f].value;
    by_function[rewards.functions()[f]->name()] = value ? Json(*value) : Json();
  }
  record["rewards"] = std::move(by_function);
  record["reward"] = completion.reward ? Json(*completion.reward) : Json();
  record["advantage"] = completion.advantage;
  record["weights_version"] = weights.version;
  record["weights_checksum"] = weights.checksum_text();
  return record;
}

std::optional<data::Difficulty> difficulty_of(const config::GrpoConfig& config, const GrpoPrompts& prompts, std::int64_t prompt) {
  if (!data::is_builtin(config.dataset_name)) return std::nullopt;
  return data::builtin_difficulty(config.dataset_name, prompts.dataset->row(prompts.prompts[static_cast<std::size_t>(prompt)].row));
}

}  // namespace

void GrpoObjective::step_logged(std::int64_t step) {
  std::string lines;
  std::int64_t last_prompt = -1;
  std::string prompt_text;
  std::optional<data::Difficulty> difficulty;
  for (std::size_t i = 0; i < completions_.size(); ++i) {
    const RolloutCompletion& completion = completions_[i];
    if (completion.prompt != last_prompt) {
      last_prompt = completion.prompt;
      difficulty = parts_.breakdown != nullptr ? difficulty_of(config_, parts_.prompts, completion.prompt) : std::nullopt;
      prompt_text = parts_.tokenizer.decode(*parts_.prompts.prompts[static_cast<std::size_t>(completion.prompt)].ids);
    }
    lines += to_json_line(record_of(completion, parts_.prompts, prompt_text, parts_.rewards, step, weights_)) + "\n";
    if (difficulty && completion.rewards[0].value) {
      parts_.breakdown->add(step, difficulty->name, difficulty->value, *completion.rewards[0].value);
    }
    if (i < static_cast<std::size_t>(config_.num_completions_to_print)) {
      log::info("  {} → {}   reward {}", prompt_text, replace_all(completion.text, "\n", "⏎"),
                completion.reward ? fmt::format("{:.3f}", *completion.reward) : "null");
    }
    if (parts_.shown == nullptr || i % std::max<std::size_t>(1, completions_.size() / kShownInReport) != 0) continue;
    report::CompletionRecord shown;
    shown.step = step;
    shown.prompt = prompt_text;
    shown.completion = completion.text;
    shown.finish_reason = completion.is_truncated ? "length" : "stop";
    if (completion.reward) shown.numbers.emplace_back("reward", *completion.reward);
    for (std::size_t f = 0; f < parts_.rewards.functions().size(); ++f) {
      if (completion.rewards[f].value) shown.numbers.emplace_back(parts_.rewards.functions()[f]->name(), *completion.rewards[f].value);
    }
    shown.numbers.emplace_back("advantage", completion.advantage);
    shown.numbers.emplace_back("tokens", static_cast<double>(completion.ids.size()));
    parts_.shown->push_back(std::move(shown));
  }
  make_directories(config_.output_dir + "/completions");
  write_file_atomically(fmt::format("{}/completions/step-{:06}.jsonl", config_.output_dir, step), lines);
}

}  // namespace r1::train
