// soft_overlong_punishment: 0 until max_completion_len − soft_punish_cache tokens, then down to −1 in a straight line.
// Source: Yu et al. 2025 (DAPO), arXiv 2503.14476, equation 13.
#include "base/error.h"
#include "rewards/functions.h"

namespace r1::rewards {
namespace {

class SoftOverlongPunishment final : public Reward {
 public:
  SoftOverlongPunishment(std::int64_t longest, std::int64_t cache)
      : Reward("soft_overlong_punishment", {}), longest_(longest), cache_(cache) {
    if (cache < 0) fail(ErrorKind::kUsage, "soft_punish_cache must not be negative, found {}", cache);
  }

 protected:
  RewardResult score_one(const Completion& completion) const override {
    const std::int64_t tokens = completion.num_tokens;
    if (tokens <= longest_ - cache_) return {0.0};
    if (tokens > longest_) return {-1.0};
    return {static_cast<double>(longest_ - cache_ - tokens) / static_cast<double>(cache_)};
  }

 private:
  std::int64_t longest_, cache_;
};

}  // namespace

std::unique_ptr<Reward> make_soft_overlong_punishment(const RewardOptions& options) {
  return std::make_unique<SoftOverlongPunishment>(options.max_completion_len, options.soft_punish_cache);
}

}  // namespace r1::rewards
