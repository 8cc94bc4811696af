#include "train/grpo_prompts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "data/mixture.h"
#include "data/open_dataset.h"
#include "train/sft_data.h"

namespace r1::train {
namespace {

std::string prompt_column(const config::GrpoConfig& config, const data::Dataset& dataset) {
  if (config.dataset_prompt_column) {
    data::require_column(dataset, dataset_title(config), *config.dataset_prompt_column, "as the prompt (dataset_prompt_column)");
    return *config.dataset_prompt_column;
  }
  if (!dataset.has_column("prompt") && dataset.has_column("problem")) {
    log::notice_once("prompt column", "prompts are taken from the column 'problem': there is none called 'prompt' (dataset_prompt_column)");
    return "problem";
  }
  data::require_column(dataset, dataset_title(config), "prompt", "as the prompt (dataset_prompt_column)");
  return "prompt";
}

std::string opened_part(const std::string& rendered) {
  // Only a think tag at the very end is a beginning of the answer; what stands before it is the prompt's.
  constexpr std::string_view kTag = "<think>";
  const std::size_t at = rendered.rfind(kTag);
  if (at == std::string::npos || !trim(rendered.substr(at + kTag.size())).empty()) return "";
  return rendered.substr(at);
}

std::string render(const config::GrpoConfig& config, const Json& row, const std::string& column, const data::ChatRenderer* chat,
                   const data::Dataset& dataset, std::int64_t index) {
  const Json& prompt = data::column_value(dataset, index, row, column);
  const std::string where = dataset.where(index);
  if (chat == nullptr) {
    if (prompt.is_string() && !config.system_prompt) return prompt.get<std::string>();
    fail(ErrorKind::kConfig, "{}: {} needs a chat template, and the model has none: give one with --chat_template", where,
         config.system_prompt ? "system_prompt" : "a prompt made of messages");
  }
  const Json messages = data::prompt_messages(prompt, config.system_prompt, where);
  if (!messages.empty() && messages.back().value("role", "") == "assistant") {
    fail(ErrorKind::kData, "{}: the prompt ends with a message of the assistant; expected the user's turn at the end", where);
  }
  return chat->render(messages, /*add_generation_prompt=*/true, Json(), Json()).text;
}

}  // namespace

std::int64_t GrpoPrompts::longest() const {
  std::size_t longest = 0;
  for (const GrpoPrompt& prompt : prompts) longest = std::max(longest, prompt.ids->size());
  return static_cast<std::int64_t>(longest);
}

GrpoPrompts load_grpo_prompts(const config::GrpoConfig& config, const std::string& split, std::int64_t max_rows,
                              const data::ChatRenderer* chat, const text::Tokenizer& tokenizer, ThreadPool& threads) {
  GrpoPrompts result;
  result.dataset = open_training_dataset(config, split, max_rows);
  result.column = prompt_column(config, *result.dataset);
  const std::int64_t num_rows = result.dataset->num_rows();
  std::vector<std::vector<std::int32_t>> ids(static_cast<std::size_t>(num_rows));
  threads.parallel_for(num_rows, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::string text = render(config, result.dataset->row(i), result.column, chat, *result.dataset, i);
      ids[static_cast<std::size_t>(i)] = tokenizer.encode(text, {.add_special_tokens = chat == nullptr});
    }
  });
  for (std::int64_t i = 0; i < num_rows; ++i) {
    std::vector<std::int32_t>& row_ids = ids[static_cast<std::size_t>(i)];
    if (row_ids.empty()) fail(ErrorKind::kData, "{}: the prompt in column '{}' is empty", result.dataset->where(i), result.column);
    const auto limit = static_cast<std::size_t>(config.max_prompt_length.value_or(INT64_MAX));
    if (row_ids.size() > limit) {
      if (config.overlong_rows == config::OverlongPolicy::kError) {
        fail(ErrorKind::kData, "{}: the prompt has {} tokens, more than max_prompt_length {} (overlong_rows: error)",
             result.dataset->where(i), row_ids.size(), limit);
      }
      if (config.overlong_rows == config::OverlongPolicy::kSkip) {
        ++result.num_skipped;
        continue;
      }
      row_ids.erase(row_ids.begin(), row_ids.end() - static_cast<std::ptrdiff_t>(limit));
      ++result.num_truncated;
    }
    result.prompts.push_back({i, std::make_shared<const std::vector<std::int32_t>>(std::move(row_ids))});
  }
  if (result.prompts.empty()) {
    fail(ErrorKind::kData, "{} ({}): no prompt is left of {} rows; {} are longer than max_prompt_length {}", dataset_title(config), split,
         num_rows, result.num_skipped, config.max_prompt_length.value_or(0));
  }
  result.first_rendered = render(config, result.dataset->row(0), result.column, chat, *result.dataset, 0);
  result.opened = opened_part(result.first_rendered);
  return result;
}

rewards::WeightedRewards make_rewards(const config::GrpoConfig& config) {
  rewards::RewardOptions options;
  options.revision = rewards::revision_by_name(config.reward_revision);
  if (options.revision == rewards::Revision::kR1 && config.compat == config::Compat::kFeb25)
    options.revision = rewards::Revision::kR1OnFeb25;
  // Absent keys take the revision's own values.
  const auto if_given = [&](const char* key, double value) { return config.given(key) ? std::optional(value) : std::nullopt; };
  options.cosine_min_value_wrong = if_given("cosine_min_value_wrong", config.cosine_min_value_wrong);
  options.cosine_max_value_wrong = if_given("cosine_max_value_wrong", config.cosine_max_value_wrong);
  options.cosine_min_value_correct = if_given("cosine_min_value_correct", config.cosine_min_value_correct);
  options.cosine_max_value_correct = if_given("cosine_max_value_correct", config.cosine_max_value_correct);
  options.cosine_max_len = config.cosine_max_len;
  options.repetition_n_grams = config.repetition_n_grams;
  options.repetition_max_penalty = config.repetition_max_penalty;
  options.max_completion_len = config.max_completion_len;
  options.soft_punish_cache = config.soft_punish_cache;
  options.code_language = config.code_language;
  return rewards::WeightedRewards(config.reward_funcs, config.reward_weights, options);
}

void check_rewards(const rewards::WeightedRewards& rewards, const GrpoPrompts& prompts, std::int64_t num_checked, ThreadPool& threads) {
  for (const std::string& column : rewards.required_columns()) {
    data::require_column(*prompts.dataset, "the data set", column, "for the rewards (reward_funcs)");
  }
  constexpr std::int64_t kListed = 3, kTried = 8;
  const std::int64_t count = std::min(num_checked, prompts.size());
  std::int64_t num_bad = 0;
  std::string listed;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = prompts.prompts[static_cast<std::size_t>(i)].row;
    const auto problem = rewards.preflight(prompts.dataset->row(row));
    if (!problem) continue;
    if (num_bad++ < kListed) listed += fmt::format("\n  {}: {}", prompts.dataset->where(row), *problem);
  }
  if (num_bad == count) {
    fail(ErrorKind::kData, "none of the first {} rows has a gold answer that the rewards can read:{}", count, listed);
  }
  if (num_bad > 0)
    log::warning("{} of {} rows cannot be scored by all rewards; there the reward is null and does not count:{}", num_bad, count, listed);

  // A completion that says nothing: what throws here would have thrown after the first rollout.
  std::vector<Json> rows;
  for (std::int64_t i = 0; i < std::min(kTried, count); ++i)
    rows.push_back(prompts.dataset->row(prompts.prompts[static_cast<std::size_t>(i)].row));
  std::vector<rewards::Completion> completions;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    completions.push_back({"<think>\n1\n</think>\n<answer>\n1\n</answer>", prompts.opened, 12, static_cast<std::int64_t>(i), &rows[i]});
  }
  const rewards::RewardScores scores = rewards.score(completions, &threads);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (scores.total[i] && !std::isfinite(*scores.total[i])) {
      fail(ErrorKind::kNumeric, "{}: the rewards give {} for a trial completion; expected a finite number (reward_weights?)",
           prompts.dataset->where(prompts.prompts[i].row), *scores.total[i]);
    }
  }
}

}  // namespace r1::train
