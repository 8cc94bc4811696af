// code_format: format, with a fenced block of the language in the answer part. "java" also accepts "javascript", as the original does.
#include "rewards/functions.h"
#include "rewards/tagged_text.h"

namespace r1::rewards {
namespace {

class CodeFormat final : public Reward {
 public:
  explicit CodeFormat(const RewardOptions& options)
      : Reward("code_format", options.code_language ? std::vector<std::string>{} : std::vector<std::string>{"language"}),
        revision_(is_r1(options.revision) ? Revision::kR1 : Revision::kHead),
        language_(options.code_language) {}

 protected:
  RewardResult score_one(const Completion& completion) const override {
    const std::string text = text_with_opening(completion, revision_);
    const auto answer = answer_part(text, revision_);
    if (!answer) return {0.0};
    const std::string fence = "```" + (language_ ? *language_ : column_text(*completion.row, "language"));
    const std::size_t open = answer->find(fence);
    const bool closed = open != std::string_view::npos && answer->find("```", open + fence.size()) != std::string_view::npos;
    return {closed ? 1.0 : 0.0};
  }

 private:
  Revision revision_;
  std::optional<std::string> language_;
};

}  // namespace

std::unique_ptr<Reward> make_code_format(const RewardOptions& options) { return std::make_unique<CodeFormat>(options); }

}  // namespace r1::rewards
