// Conversations to the text a model was trained on.
#pragma once

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace r1::text {

struct RenderOptions {
  Json tools = nullptr;  // list of tool descriptions, or null
  bool add_generation_prompt = false;
  Json arguments = Json::object();            // further variables of the template (enable_thinking, …)
  SpecialTokens special_tokens = {};          // bos_token, eos_token, … as the template sees them
  std::optional<std::tm> now = std::nullopt;  // what strftime_now sees; default: the clock
  std::size_t max_steps = 0;                  // bound on the work; 0: grows with the size of the input
};

struct RenderedChat {
  std::string text;
  /// Byte ranges [begin, end) of text made by generation blocks: what assistant-only loss covers.
  std::vector<std::pair<std::size_t, std::size_t>> generation_spans;
};

/// A parsed chat template, or several named ones. Immutable, copies share it, render() may run on several threads.
class ChatTemplate {
 public:
  /// Parses a template text; name stands in messages. Throws Error(kModel) "name:line: reason".
  static ChatTemplate from_text(std::string_view source, const std::string& name = "chat_template");

  /// Value of a chat_template setting: the path of an existing file, else a template text.
  static ChatTemplate from_setting(const std::string& text_or_path);

  /// The template of a model's folder: chat_template.jinja (and additional_chat_templates/<name>.jinja), else
  /// chat_template.json, else chat_template in tokenizer_config.json (a text, or a list of {name, template}).
  /// Nothing when the folder has none. Throws Error(kModel) for one that does not parse.
  static std::optional<ChatTemplate> load(const std::string& folder);

  /// The setting when there is one, else the folder's; Error(kModel) when neither gives a template.
  static ChatTemplate load_or_setting(const std::string& folder, const std::optional<std::string>& setting);

  /// Renders with the variant "default" (or "tool_use" when tools are given and it exists).
  /// messages: list of {"role", "content", …}. Throws Error(kData) where the template raises an error.
  RenderedChat render(const Json& messages, const RenderOptions& options = {}) const;

  std::vector<std::string> variant_names() const;
  /// The variant of that name instead of the default one; Error(kModel) when there is none.
  ChatTemplate variant(const std::string& name) const;

  /// Source of the variant in use.
  const std::string& source() const;
  /// True when it marks the assistant's text with generation blocks.
  bool has_generation_blocks() const;
  /// 32 hexadecimal digits over all variants: with Tokenizer::content_hash() the key for caches of encoded conversations.
  const std::string& content_hash() const;

 private:
  struct Impl;
  explicit ChatTemplate(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// A rendered and encoded conversation.
struct EncodedChat {
  std::vector<TokenId> ids;
  /// One per id: 1 inside generation blocks. Empty when the template has none.
  std::vector<std::uint8_t> assistant_mask;
};

/// Renders and encodes without a second BOS: the template writes its own special tokens, so none are added. The special tokens
/// of the tokenizer are used when options give none.
EncodedChat apply_chat_template(const Tokenizer& tokenizer, const ChatTemplate& chat_template, const Json& messages,
                                RenderOptions options = {});

/// "2025-01-31T09:05:07" (or a date alone) as broken-down time. Throws Error(kUsage).
std::tm parse_time(const std::string& text);

}  // namespace r1::text
