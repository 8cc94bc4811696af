// One factory per reward function; registry.cpp holds their table. Each throws Error(kUsage) for options it cannot work with.
#pragma once

#include <memory>

#include "rewards/reward.h"

namespace r1::rewards {

std::unique_ptr<Reward> make_accuracy(const RewardOptions& options);
std::unique_ptr<Reward> make_format(const RewardOptions& options);
std::unique_ptr<Reward> make_tag_count(const RewardOptions& options);
std::unique_ptr<Reward> make_reasoning_steps(const RewardOptions& options);
std::unique_ptr<Reward> make_cosine(const RewardOptions& options);
std::unique_ptr<Reward> make_repetition_penalty(const RewardOptions& options);
std::unique_ptr<Reward> make_length(const RewardOptions& options);
std::unique_ptr<Reward> make_soft_overlong_punishment(const RewardOptions& options);
std::unique_ptr<Reward> make_code_format(const RewardOptions& options);
std::unique_ptr<Reward> make_exact_answer(const RewardOptions& options);
std::unique_ptr<Reward> make_countdown(const RewardOptions& options);

}  // namespace r1::rewards
