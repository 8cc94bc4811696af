// format: 1 when the completion is a think block followed by an answer block, else 0.
#include "rewards/functions.h"
#include "rewards/tagged_text.h"

namespace r1::rewards {
namespace {

class Format final : public Reward {
 public:
  explicit Format(Revision revision) : Reward("format", {}), revision_(revision) {}

 protected:
  RewardResult score_one(const Completion& completion) const override {
    return {answer_part(text_with_opening(completion, revision_), revision_) ? 1.0 : 0.0};
  }

 private:
  Revision revision_;
};

}  // namespace

std::unique_ptr<Reward> make_format(const RewardOptions& options) { return std::make_unique<Format>(options.revision); }

}  // namespace r1::rewards
