// reasoning_steps: a third for each mark of a step, up to 1.
#include <algorithm>

#include "rewards/functions.h"
#include "rewards/python_text.h"

namespace r1::rewards {
namespace {

/// One or more digits, then the mark: the position behind it, or 0.
std::size_t digits_then(std::string_view text, std::size_t position, char mark) {
  const std::size_t begin = position;
  while (const std::size_t length = decimal_digit_length(text, position)) position += length;
  return position > begin && position < text.size() && text[position] == mark ? position + 1 : 0;
}

class ReasoningSteps final : public Reward {
 public:
  explicit ReasoningSteps(Revision revision) : Reward("reasoning_steps", {}), every_line_(is_r1(revision)) {}

 protected:
  RewardResult score_one(const Completion& completion) const override {
    int count = 0;
    for (std::size_t position = 0; position < completion.text.size();) {
      const std::size_t end = step_end(completion.text, position);
      count += end > 0 ? 1 : 0;
      position = end > 0 ? end : position + 1;
    }
    return {std::min(1.0, count / 3.0)};
  }

 private:
  /// End of the mark that starts at position, or 0.
  std::size_t step_end(std::string_view text, std::size_t position) const {
    const std::string_view rest = text.substr(position);
    if (rest.starts_with("Step "))
      if (const std::size_t end = digits_then(text, position + 5, ':')) return end;
    if (position == 0 || (every_line_ && text[position - 1] == '\n'))
      if (const std::size_t end = digits_then(text, position, '.')) return end;
    for (const std::string_view mark : {std::string_view("\n-"), std::string_view("\n*"), std::string_view("First,"),
                                        std::string_view("Second,"), std::string_view("Next,"), std::string_view("Finally,")})
      if (rest.starts_with(mark)) return position + mark.size();
    return 0;
  }

  bool every_line_;
};

}  // namespace

std::unique_ptr<Reward> make_reasoning_steps(const RewardOptions& options) { return std::make_unique<ReasoningSteps>(options.revision); }

}  // namespace r1::rewards
