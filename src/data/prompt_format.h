// Rows of a data set → messages and rendered text.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data/dataset.h"

namespace r1::data {

/// What a row of supervised data is made of; the first kind whose columns are there.
enum class RowKind { kInputIds, kPromptCompletion, kMessages, kConversations, kText };

/// By the columns input_ids; prompt and completion; messages; conversations; `text_column`. Throws Error(kData) that lists what is
/// accepted and what the data set has.
RowKind detect_row_kind(const Dataset& dataset, std::string_view dataset_name, std::string_view text_column = "text");
std::string_view row_kind_name(RowKind kind);

/// Checks a list of messages: objects with a text `role` and, unless it calls tools, a `content`. Throws Error(kData) "where: …".
void check_messages(const Json& messages, std::string_view where);

/// ShareGPT records {"from": "human", "value": …} → {"role": "user", "content": …}. human and user, gpt, assistant, model and
/// bot, system, tool, function and observation are known. Messages that already have a role pass. A non-empty `system` is put in
/// front when the list does not begin with a system message.
Json conversations_to_messages(const Json& conversations, std::string_view system, std::string_view where);

/// The conversation of a prompt column: a text becomes one user message, messages are checked and taken; a system prompt, when
/// given, comes first.
Json prompt_messages(const Json& prompt, const std::optional<std::string>& system_prompt, std::string_view where);

/// A rendered conversation, and the byte ranges that the template marked with {% generation %}.
struct RenderedChat {
  std::string text;
  std::vector<std::pair<std::size_t, std::size_t>> generation_spans;
};

/// A chat template with what it needs besides the messages (special tokens, the clock). Called from several threads.
class ChatRenderer {
 public:
  virtual ~ChatRenderer() = default;
  /// tools and extra (more variables for the template) may be null. Throws Error when the template raises.
  virtual RenderedChat render(const Json& messages, bool add_generation_prompt, const Json& tools, const Json& extra) const = 0;
  /// True when the template has {% generation %} blocks.
  virtual bool marks_generation() const = 0;
  /// Changes when the template does.
  virtual std::string content_hash() const = 0;
};

/// The rendered conversation with the byte ranges that assistants wrote. Where the template does not mark them they are found by
/// rendering the conversation turn by turn; throws Error(kData) when the template does not allow that (a turn's text changes
/// with the turns after it).
RenderedChat render_with_assistant_spans(const ChatRenderer& chat, const Json& messages, const Json& tools, const Json& extra,
                                         std::string_view where);

}  // namespace r1::data
