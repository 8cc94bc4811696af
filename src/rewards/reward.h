// Reward functions: a completion and its row's columns → a number, or nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace r1 {
using Json = nlohmann::ordered_json;  // include base/json.h where columns are read
class ThreadPool;
}  // namespace r1

namespace r1::rewards {

/// feb25 and head reproduce Open R1 of 13 February 2025 and its newest state, defects included; r1 is head (or feb25) with the
/// corrections of docs/rewards.md.
enum class Revision { kFeb25, kHead, kR1, kR1OnFeb25 };

/// r1, head, feb25; "both" (of the vectors) is head. Throws Error(kUsage) for another name.
Revision revision_by_name(std::string_view name);
inline bool is_r1(Revision revision) { return revision == Revision::kR1 || revision == Revision::kR1OnFeb25; }
inline bool is_feb25(Revision revision) { return revision == Revision::kFeb25 || revision == Revision::kR1OnFeb25; }

enum class RewardStatus {
  kScored,
  kGoldUnparsed,    // the row's gold answer cannot be read: no value (r1, head), never 1
  kAnswerUnparsed,  // the completion's answer cannot be read: scored as wrong
  kOverBudget,      // too long or too deep to decide: scored as wrong
};
std::string_view reward_status_name(RewardStatus status);

struct RewardResult {
  std::optional<double> value;  // nothing: the sample does not count for this function
  RewardStatus status = RewardStatus::kScored;
};

/// One completion to score. The views must live while it is scored.
struct Completion {
  std::string_view text;        // decoded without special tokens
  std::string_view opened;      // what the chat template put behind the assistant's turn, such as "<think>\n"; only r1 reads it
  std::int64_t num_tokens = 0;  // for soft_overlong_punishment
  std::int64_t group = 0;       // completions of one prompt have the same number
  const Json* row = nullptr;    // the columns of the prompt's row; an object
};

/// Parameters with Open R1's names. An absent value takes the default of the revision (docs/rewards.md).
struct RewardOptions {
  Revision revision = Revision::kR1;
  std::optional<double> cosine_min_value_wrong, cosine_max_value_wrong, cosine_min_value_correct, cosine_max_value_correct;
  double cosine_max_len = 1000;  // characters
  int repetition_n_grams = 3;
  double repetition_max_penalty = -1.0;
  std::string repetition_language = "en";
  std::int64_t max_completion_len = 16384, soft_punish_cache = 4096;  // tokens
  std::optional<std::string> code_language = "python";                // nothing: the row's column `language`
};

/// A reward function with its parameters. Immutable; score may be called from several threads.
class Reward {
 public:
  explicit Reward(std::string name, std::vector<std::string> required_columns)
      : name_(std::move(name)), required_columns_(std::move(required_columns)) {}
  virtual ~Reward() = default;

  const std::string& name() const { return name_; }
  const std::vector<std::string>& required_columns() const { return required_columns_; }

  /// What is wrong with a row before anything is generated: a column that is missing or cannot be used; nothing when it is fine.
  std::optional<std::string> preflight(const Json& row) const;

  /// One result per completion, in order; the completions are spread over the pool (null: this thread alone), the result does not
  /// depend on it. Throws Error(kData) when a required column is missing.
  virtual std::vector<RewardResult> score(std::span<const Completion> completions, ThreadPool* pool) const;

 protected:
  virtual RewardResult score_one(const Completion& completion) const = 0;
  virtual std::optional<std::string> preflight_columns(const Json&) const { return std::nullopt; }

 private:
  std::string name_;
  std::vector<std::string> required_columns_;
};

/// The text of a column; numbers as they are printed. Throws Error(kData) when it is missing or has another type.
std::string column_text(const Json& row, std::string_view column);

}  // namespace r1::rewards
