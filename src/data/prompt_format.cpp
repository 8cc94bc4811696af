#include "data/prompt_format.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"

namespace r1::data {
namespace {

std::optional<std::string_view> role_of_speaker(std::string_view speaker) {
  if (speaker == "human" || speaker == "user") return "user";
  if (speaker == "gpt" || speaker == "assistant" || speaker == "model" || speaker == "bot") return "assistant";
  if (speaker == "system") return "system";
  if (speaker == "tool" || speaker == "function" || speaker == "observation") return "tool";
  return std::nullopt;
}

std::string text_field(const Json& record, const char* key, std::string_view where, std::size_t index) {
  const auto found = record.find(key);
  if (found == record.end() || !found->is_string()) {
    fail(ErrorKind::kData, "{}: message {}: expected a text under '{}', found {}", where, index, key,
         found == record.end() ? "nothing" : found->type_name());
  }
  return found->get<std::string>();
}

// The end of a text without the white space behind it.
std::size_t trimmed_end(std::string_view text, std::size_t begin, std::size_t end) {
  while (end > begin && (text[end - 1] == '\n' || text[end - 1] == ' ')) --end;
  return end;
}

}  // namespace

RowKind detect_row_kind(const Dataset& dataset, std::string_view dataset_name, std::string_view text_column) {
  if (dataset.has_column("input_ids")) return RowKind::kInputIds;
  if (dataset.has_column("prompt") && dataset.has_column("completion")) return RowKind::kPromptCompletion;
  if (dataset.has_column("messages")) return RowKind::kMessages;
  if (dataset.has_column("conversations")) return RowKind::kConversations;
  if (dataset.has_column(text_column)) return RowKind::kText;
  fail(ErrorKind::kData,
       "{}: expected the columns messages, conversations, prompt and completion, {}, or input_ids (with labels); found {}. Rename a column "
       "or "
       "name the text column with dataset_text_field",
       dataset_name, text_column, join(dataset.column_names(), ", "));
}

std::string_view row_kind_name(RowKind kind) {
  switch (kind) {
    case RowKind::kInputIds:
      return "input_ids";
    case RowKind::kPromptCompletion:
      return "prompt and completion";
    case RowKind::kMessages:
      return "messages";
    case RowKind::kConversations:
      return "conversations";
    case RowKind::kText:
      return "text";
  }
  return "";
}

void check_messages(const Json& messages, std::string_view where) {
  if (!messages.is_array() || messages.empty()) {
    fail(ErrorKind::kData, "{}: expected a non-empty list of messages (role, content), found {}", where,
         messages.is_array() ? "an empty list" : messages.type_name());
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    if (!message.is_object())
      fail(ErrorKind::kData, "{}: message {}: expected an object with role and content, found {}", where, i, message.type_name());
    text_field(message, "role", where, i);
    const auto content = message.find("content");
    const auto tool_calls = message.find("tool_calls");
    const bool calls_tools = tool_calls != message.end() && !tool_calls->is_null();
    if (!calls_tools && (content == message.end() || content->is_null())) {
      fail(ErrorKind::kData, "{}: message {}: expected a text under 'content', found {}", where, i,
           content == message.end() ? "nothing" : "null");
    }
    if (content != message.end() && !content->is_string() && !content->is_array() && !content->is_null()) {
      fail(ErrorKind::kData, "{}: message {}: expected a text under 'content', found {}", where, i, content->type_name());
    }
  }
}

Json conversations_to_messages(const Json& conversations, std::string_view system, std::string_view where) {
  if (!conversations.is_array() || conversations.empty()) {
    fail(ErrorKind::kData, "{}: expected a non-empty list of conversation records (from, value), found {}", where,
         conversations.is_array() ? "an empty list" : conversations.type_name());
  }
  Json messages = Json::array();
  for (std::size_t i = 0; i < conversations.size(); ++i) {
    const Json& record = conversations[i];
    if (!record.is_object())
      fail(ErrorKind::kData, "{}: message {}: expected an object with from and value, found {}", where, i, record.type_name());
    if (record.contains("role")) {
      messages.push_back(record);
      continue;
    }
    const std::string speaker = text_field(record, "from", where, i);
    const auto role = role_of_speaker(speaker);
    if (!role) fail(ErrorKind::kData, "{}: message {}: expected 'from' to be human, gpt, system or tool, found '{}'", where, i, speaker);
    messages.push_back({{"role", *role}, {"content", text_field(record, "value", where, i)}});
  }
  check_messages(messages, where);
  if (!system.empty() && messages[0].at("role") != "system") {
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", system}});
  }
  return messages;
}

Json prompt_messages(const Json& prompt, const std::optional<std::string>& system_prompt, std::string_view where) {
  Json messages = Json::array();
  if (system_prompt) messages.push_back({{"role", "system"}, {"content", *system_prompt}});
  if (prompt.is_string()) {
    messages.push_back({{"role", "user"}, {"content", prompt}});
    return messages;
  }
  if (!prompt.is_array())
    fail(ErrorKind::kData, "{}: expected a text or a list of messages as prompt, found {}", where, prompt.type_name());
  check_messages(prompt, where);
  for (const Json& message : prompt) messages.push_back(message);
  return messages;
}

RenderedChat render_with_assistant_spans(const ChatRenderer& chat, const Json& messages, const Json& tools, const Json& extra,
                                         std::string_view where) {
  RenderedChat rendered = chat.render(messages, false, tools, extra);
  if (chat.marks_generation()) return rendered;
  log::notice_once("template without generation blocks",
                   "the chat template has no {% generation %} blocks: what the assistant wrote is found by rendering turn by turn");
  Json turns = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (messages[i].at("role") == "assistant" && i > 0) {
      const std::string before = chat.render(turns, true, tools, extra).text;
      turns.push_back(messages[i]);
      const std::string through = chat.render(turns, false, tools, extra).text;
      if (!through.starts_with(before) || !rendered.text.starts_with(through)) {
        fail(ErrorKind::kData,
             "{}: assistant_only_loss: the chat template renders message {} differently when others follow, so its tokens cannot be told "
             "apart; "
             "use a template with {{% generation %}} blocks",
             where, i);
      }
      rendered.generation_spans.emplace_back(before.size(), trimmed_end(rendered.text, before.size(), through.size()));
    } else {
      turns.push_back(messages[i]);
    }
  }
  return rendered;
}

}  // namespace r1::data
