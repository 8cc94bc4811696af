// One row of supervised data → token ids and labels.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/prompt_format.h"
#include "text/tokenizer.h"

namespace r1::data {

/// A label that takes no part in the loss.
inline constexpr std::int32_t kIgnoredLabel = -100;

/// labels are unshifted: labels[t] is input_ids[t], or kIgnoredLabel; the model's output at t - 1 is compared with it.
struct TokenRow {
  std::vector<std::int32_t> input_ids, labels;
  /// Labels that can be a target: all that are not ignored, the first excepted.
  std::int64_t num_targets() const;
};

struct TokenizeOptions {
  /// Only what assistants wrote is learnt (messages and conversations; combined with completion_only_loss for prompt-completion).
  bool assistant_only_loss = false;
  /// Only the completion is learnt. Absent: true for prompt and completion, false for others.
  std::optional<bool> completion_only_loss = std::nullopt;
  /// End-of-sequence token as text; empty: the tokenizer's.
  std::string eos_token = {};
  /// Rows without a chat template (text; prompt and completion as texts) get the EOS token when they do not end with it.
  bool append_eos = true;
  /// Adds BOS and the like around rendered conversations too: they then stand twice for templates that write them (the February
  /// 2025 behaviour).
  bool special_tokens_in_chat = false;
  std::string text_column = "text";
  /// More variables for the chat template (`chat_template_kwargs`), as a JSON object; empty: none.
  std::string chat_template_kwargs = {};
};

/// Turns rows of one kind into tokens. Immutable and thread-safe.
/// Rules as in TRL 1.16's SFTTrainer: conversations are rendered without generation prompt and encoded without special tokens;
/// prompt and completion are encoded together, and the loss begins behind as many tokens as the prompt alone has; texts are
/// encoded with the tokenizer's default special tokens.
class RowTokenizer {
 public:
  /// `chat` may be null when no row needs a template; a row that does is then Error(kModel).
  /// Throws Error(kConfig) when options do not go together with the kind of rows, or the EOS token is unknown.
  RowTokenizer(DatasetPtr dataset, std::string dataset_name, text::Tokenizer tokenizer, std::shared_ptr<const ChatRenderer> chat,
               TokenizeOptions options);

  RowKind kind() const { return kind_; }
  const Dataset& dataset() const { return *dataset_; }
  const text::Tokenizer& tokenizer() const { return tokenizer_; }

  /// Throws Error(kData) with the row's place.
  TokenRow tokenize(std::int64_t index) const;

  /// The row as text with its learnt parts between ⟦ and ⟧, for the pre-flight check.
  std::string describe(std::int64_t index, std::size_t max_characters = 4000) const;

  /// Data, tokenizer, template and options: the key of the token cache.
  std::string content_hash() const;

 private:
  TokenRow tokenize_row(const Json& row, std::int64_t index) const;
  TokenRow ready_ids(const Json& row, std::int64_t index) const;
  TokenRow chat_row(const Json& messages, const Json& row, std::int64_t index) const;
  TokenRow prompt_completion(const Json& row, std::int64_t index) const;
  TokenRow plain_text(std::string text) const;
  const ChatRenderer& chat_for(std::int64_t index) const;
  std::string with_eos(std::string text) const;
  Json template_variables(const Json& row, std::int64_t index) const;

  DatasetPtr dataset_;
  std::string dataset_name_;
  text::Tokenizer tokenizer_;
  std::shared_ptr<const ChatRenderer> chat_;
  TokenizeOptions options_;
  RowKind kind_;
  std::string eos_token_;
};

}  // namespace r1::data
