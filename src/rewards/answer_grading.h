// Right or wrong, as the rewards of Open R1 decide it.
#pragma once

#include "rewards/reward.h"
#include "verify/verify.h"

namespace r1::rewards {

enum class Correctness { kRight, kWrong, kNoGold };

struct Grade {
  Correctness correctness = Correctness::kWrong;
  RewardStatus status = RewardStatus::kScored;
};

/// latex_gold_only: the gold must be LaTeX, and the completion is compared as if it were the gold (Open R1 passed the arguments that way
/// around until 566); otherwise plain numbers are golds too, and the order is the library's.
/// needs_readable_gold (r1): a gold that was found but cannot be read counts as none.
Grade grade_completion(std::string_view text, std::string_view solution, bool latex_gold_only, bool needs_readable_gold);

/// Can the gold answer be read at all?
bool has_readable_gold(std::string_view solution, bool latex_gold_only);

}  // namespace r1::rewards
