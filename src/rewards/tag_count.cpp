// tag_count: a quarter for each tag that stands exactly once with its line breaks.
#include "rewards/functions.h"
#include "rewards/tagged_text.h"

namespace r1::rewards {
namespace {

int count_without_overlap(std::string_view text, std::string_view tag) {
  int count = 0;
  for (std::size_t found = text.find(tag); found != std::string_view::npos; found = text.find(tag, found + tag.size())) ++count;
  return count;
}

class TagCount final : public Reward {
 public:
  explicit TagCount(Revision revision) : Reward("tag_count", {}), revision_(revision) {}

 protected:
  RewardResult score_one(const Completion& completion) const override {
    const std::string text = text_with_opening(completion, revision_);
    double value = 0;
    for (const std::string_view tag : {std::string_view("<think>\n"), std::string_view("\n</think>\n"), std::string_view("\n<answer>\n"),
                                       std::string_view("\n</answer>")})
      if (count_without_overlap(text, tag) == 1) value += 0.25;
    return {value};
  }

 private:
  Revision revision_;
};

}  // namespace

std::unique_ptr<Reward> make_tag_count(const RewardOptions& options) { return std::make_unique<TagCount>(options.revision); }

}  // namespace r1::rewards
