// The prompts of a GRPO run: rendered, encoded and checked before the first step.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "config/grpo_config.h"
#include "data/dataset.h"
#include "data/prompt_format.h"
#include "rewards/registry.h"
#include "text/tokenizer.h"

namespace r1::train {

struct GrpoPrompt {
  std::int64_t row = 0;  // of the data set
  std::shared_ptr<const std::vector<std::int32_t>> ids;
};

/// All prompts of a split in the order of its rows.
struct GrpoPrompts {
  data::DatasetPtr dataset;
  std::string column;
  std::vector<GrpoPrompt> prompts;
  std::int64_t num_truncated = 0, num_skipped = 0;  // over max_prompt_length
  std::string first_rendered;                       // the first prompt as text
  /// What the chat template writes behind the assistant's turn, such as "<think>\n": rewards see it in front of the completion.
  std::string opened;

  std::int64_t longest() const;
  std::int64_t size() const { return static_cast<std::int64_t>(prompts.size()); }
};

/// Opens the split (or the mixture), renders each prompt with the system prompt and the chat template and encodes it. Prompts over
/// max_prompt_length keep their last tokens, are left out, or are an error, as overlong_rows says. Throws Error(kData), Error(kConfig).
/// max_rows: the first ones alone; -1: all.
GrpoPrompts load_grpo_prompts(const config::GrpoConfig& config, const std::string& split, std::int64_t max_rows,
                              const data::ChatRenderer* chat, const text::Tokenizer& tokenizer, ThreadPool& threads);

/// The reward functions with the options that the configuration gives.
rewards::WeightedRewards make_rewards(const config::GrpoConfig& config);

/// Checks the columns that the rewards need, counts the rows whose gold answer cannot be read (all of them: Error(kData)), and tries the
/// rewards on a few rows. num_checked rows are looked at.
void check_rewards(const rewards::WeightedRewards& rewards, const GrpoPrompts& prompts, std::int64_t num_checked, ThreadPool& threads);

}  // namespace r1::train
