#include "generate/prompt_builder.h"

#include "base/json.h"

namespace r1::generate {

PromptBuilder::PromptBuilder(PromptSettings settings, text::Tokenizer tokenizer, std::shared_ptr<const data::ChatRenderer> chat)
    : settings_(std::move(settings)),
      tokenizer_(std::move(tokenizer)),
      chat_(std::move(chat)),
      template_(text::ChatTemplate::from_text(settings_.prompt_template, "--prompt-template")) {
  R1_ASSERT(chat_ != nullptr || !settings_.use_chat_template, "a chat template is used that is not there");
}

BuiltPrompt PromptBuilder::from_messages(const Json& messages, const std::string& where) const {
  if (!settings_.use_chat_template) {
    fail(ErrorKind::kUsage, "{}: the prompt column '{}' holds messages, which need a chat template: leave --no-chat-template out", where,
         settings_.column);
  }
  BuiltPrompt prompt;
  prompt.text = chat_->render(messages, /*add_generation_prompt=*/true, Json(), Json()).text;
  prompt.ids = tokenizer_.encode(prompt.text, {.add_special_tokens = false});
  return prompt;
}

BuiltPrompt PromptBuilder::from_text(const std::string& text, const std::string& where) const {
  text::RenderOptions options;
  options.arguments = Json{{"instruction", text}, {"prompt", text}};
  const std::string instruction = template_.render(Json::array(), options).text;
  if (settings_.use_chat_template) return from_messages(data::prompt_messages(instruction, settings_.system_prompt, where), where);
  if (settings_.system_prompt) {
    fail(ErrorKind::kUsage,
         "--system-prompt needs a chat template, which --no-chat-template turns off: put the text into --prompt-template");
  }
  return {instruction, tokenizer_.encode(instruction)};
}

BuiltPrompt PromptBuilder::build(const Json& prompt, const std::string& where) const {
  if (prompt.is_string()) return from_text(prompt.get<std::string>(), where);
  const auto is_id = [](const Json& value) { return value.is_number_integer(); };
  const bool is_list = prompt.is_array() && !prompt.empty();
  if (settings_.template_given && is_list) {
    fail(ErrorKind::kUsage, "{}: --prompt-template applies to text prompts, and the column '{}' holds {}", where, settings_.column,
         is_id(prompt.front()) ? "token ids" : "messages");
  }
  if (is_list && std::all_of(prompt.begin(), prompt.end(), is_id)) {
    if (settings_.system_prompt) fail(ErrorKind::kUsage, "{}: --system-prompt cannot be put before ready token ids", where);
    return {"", prompt.get<std::vector<std::int32_t>>()};
  }
  if (is_list && prompt.front().is_object()) return from_messages(data::prompt_messages(prompt, settings_.system_prompt, where), where);
  fail(ErrorKind::kData, "{}: column '{}': expected a text, a list of messages or a list of token ids, found {}", where, settings_.column,
       to_json_line(prompt).substr(0, 80));
}

}  // namespace r1::generate
