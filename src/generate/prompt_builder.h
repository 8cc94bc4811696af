// From a row's prompt column to the token ids that the model continues.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/prompt_format.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace r1::generate {

struct PromptSettings {
  std::string column = "prompt";
  std::string prompt_template = "{{ instruction }}";  // Jinja, of a text prompt
  bool template_given = false;                        // a user's template does not fit messages: told instead of ignored
  std::optional<std::string> system_prompt;
  bool use_chat_template = true;
};

struct BuiltPrompt {
  std::string text;  // as rendered; empty for ready ids
  std::vector<std::int32_t> ids;
};

/// A text goes through the prompt template and becomes one user message; messages are taken as they are; a list of integers is token ids.
/// With a chat template the conversation is rendered with its generation prompt and encoded without further special tokens; without one
/// the text is encoded with the tokenizer's own.
class PromptBuilder {
 public:
  /// chat may be null only without use_chat_template. Throws Error(kModel) for a template that does not parse.
  PromptBuilder(PromptSettings settings, text::Tokenizer tokenizer, std::shared_ptr<const data::ChatRenderer> chat);

  /// `where` stands for the row in messages. Throws Error(kData) for a prompt of another kind, Error(kUsage) where the settings do not
  /// fit the kind of prompt.
  BuiltPrompt build(const Json& prompt, const std::string& where) const;

 private:
  BuiltPrompt from_text(const std::string& text, const std::string& where) const;
  BuiltPrompt from_messages(const Json& messages, const std::string& where) const;

  PromptSettings settings_;
  text::Tokenizer tokenizer_;
  std::shared_ptr<const data::ChatRenderer> chat_;
  text::ChatTemplate template_;
};

}  // namespace r1::generate
