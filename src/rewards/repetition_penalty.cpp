// repetition_penalty: the penalty times the share of n-grams of words that stood before.
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "rewards/functions.h"
#include "rewards/python_text.h"

namespace r1::rewards {
namespace {

class RepetitionPenalty final : public Reward {
 public:
  explicit RepetitionPenalty(const RewardOptions& options)
      : Reward("repetition_penalty", {}),
        size_(static_cast<std::size_t>(options.repetition_n_grams)),
        penalty_(options.repetition_max_penalty) {
    if (penalty_ > 0) fail(ErrorKind::kUsage, "repetition_max_penalty must not be above 0, found {}", penalty_);
    if (options.repetition_n_grams < 1)
      fail(ErrorKind::kUsage, "repetition_n_grams must be at least 1, found {}", options.repetition_n_grams);
    if (options.repetition_language != "en")
      fail(ErrorKind::kUsage, "repetition_penalty: language '{}' is not supported: words are cut at white space ('en')",
           options.repetition_language);
  }

 protected:
  RewardResult score_one(const Completion& completion) const override {
    const std::string text = lower_case(completion.text);
    const std::vector<std::string_view> words = split_words(text);
    if (words.size() < size_) return {0.0};
    std::vector<std::uint64_t> hashes;
    hashes.reserve(words.size());
    for (const std::string_view word : words) hashes.push_back(xxh3_64(word));
    std::unordered_set<std::uint64_t> distinct;
    const std::size_t total = words.size() - size_ + 1;
    distinct.reserve(total);
    for (std::size_t i = 0; i < total; ++i) distinct.insert(xxh3_64(&hashes[i], size_ * sizeof(std::uint64_t)));
    const double scaling = 1.0 - static_cast<double>(distinct.size()) / static_cast<double>(total);
    return {scaling * penalty_};
  }

 private:
  std::size_t size_;
  double penalty_;
};

}  // namespace

std::unique_ptr<Reward> make_repetition_penalty(const RewardOptions& options) { return std::make_unique<RepetitionPenalty>(options); }

}  // namespace r1::rewards
