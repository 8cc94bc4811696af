#include "data/chat_renderer.h"

#include "base/json.h"

namespace r1::data {
namespace {

class TemplateRenderer final : public ChatRenderer {
 public:
  TemplateRenderer(text::ChatTemplate chat_template, text::SpecialTokens special_tokens, std::optional<std::tm> now)
      : template_(std::move(chat_template)), special_tokens_(std::move(special_tokens)), now_(now) {}

  RenderedChat render(const Json& messages, bool add_generation_prompt, const Json& tools, const Json& extra) const override {
    text::RenderOptions options;
    options.tools = tools;
    options.add_generation_prompt = add_generation_prompt;
    if (extra.is_object()) options.arguments = extra;
    options.special_tokens = special_tokens_;
    options.now = now_;
    text::RenderedChat rendered = template_.render(messages, options);
    return {std::move(rendered.text), std::move(rendered.generation_spans)};
  }
  bool marks_generation() const override { return template_.has_generation_blocks(); }
  std::string content_hash() const override { return template_.content_hash(); }

 private:
  text::ChatTemplate template_;
  text::SpecialTokens special_tokens_;
  std::optional<std::tm> now_;
};

}  // namespace

std::shared_ptr<const ChatRenderer> make_chat_renderer(text::ChatTemplate chat_template, const text::Tokenizer& tokenizer,
                                                       std::optional<std::tm> now) {
  return std::make_shared<TemplateRenderer>(std::move(chat_template), tokenizer.special_tokens(), now);
}

}  // namespace r1::data
