// Advantages, loss and gradients of GRPO against the reference's own numbers.
#include <gtest/gtest.h>

#include "base/json.h"
#include "tests/support/paths.h"
#include "train/advantages.h"
#include "train/grpo_loss.h"

namespace r1::test {
namespace {

using Matrix = std::vector<std::vector<double>>;

config::LossType loss_type(const std::string& name) {
  if (name == "grpo") return config::LossType::kGrpo;
  return name == "dr_grpo" ? config::LossType::kDrGrpo : config::LossType::kBnpo;
}

config::ScaleRewards scale_rewards(const Json& value) {
  if (value == "batch") return config::ScaleRewards::kBatch;
  return value == true || value == "group" ? config::ScaleRewards::kGroup : config::ScaleRewards::kNone;
}

std::vector<std::optional<double>> weighted_rewards(const Json& per_function, const Json& weights) {
  std::vector<std::optional<double>> rewards;
  for (const Json& row : per_function) {
    std::optional<double> total;
    for (std::size_t f = 0; f < row.size(); ++f) {
      if (!row[f].is_null()) total = total.value_or(0) + row[f].get<double>() * weights[f].get<double>();
    }
    rewards.push_back(total);
  }
  return rewards;
}

TEST(GrpoVectors, AdvantagesLossAndGradientsAgree) {
  R1_REQUIRE_SHARED(shared);
  const Json vectors = read_json_file(shared + "/vectors/optim/grpo.json");
  for (const Json& test_case : vectors["cases"]) {
    SCOPED_TRACE(test_case["id"].get<std::string>());
    const Json &settings = test_case["config"], &inputs = test_case["inputs"], &expected = test_case["expected"];
    const auto rewards = weighted_rewards(inputs["rewards_per_func"], settings["reward_weights"]);
    const int group = settings["num_generations"];
    const train::Advantages advantages = train::compute_advantages(rewards, group, scale_rewards(settings["scale_rewards"]));
    for (std::size_t i = 0; i < rewards.size(); ++i) {
      // The reference's advantages are f32.
      EXPECT_NEAR(advantages.values[i], expected["advantages"][i].get<double>(), 1e-5 * (1 + std::fabs(advantages.values[i])));
    }

    train::GrpoLossOptions options;
    options.loss_type = loss_type(settings["loss_type"]);
    options.level = settings["importance_sampling_level"] == "sequence" ? config::ImportanceSamplingLevel::kSequence
                                                                        : config::ImportanceSamplingLevel::kToken;
    options.epsilon_low = settings["epsilon"];
    options.epsilon_high = settings["epsilon_high"];
    if (settings.contains("delta") && !settings["delta"].is_null()) options.delta = settings["delta"].get<double>();
    options.beta = settings["beta"];
    options.max_completion_length = settings["max_completion_length"];
    const Matrix current = inputs["per_token_logps"];
    std::vector<std::size_t> lengths;
    train::GrpoNormalizer normalizer;
    normalizer.num_completions = static_cast<std::int64_t>(current.size());
    for (const Json& mask : inputs["completion_mask"]) {
      lengths.push_back(static_cast<std::size_t>(std::ranges::count(mask.get<std::vector<int>>(), 1)));
      normalizer.num_tokens += static_cast<std::int64_t>(lengths.back());
    }
    double loss = 0;
    const double accumulation = settings["gradient_accumulation_steps"];
    for (std::size_t i = 0; i < current.size(); ++i) {
      const auto row = [&](const char* name) {
        if (inputs[name].is_null()) return std::vector<double>();
        return inputs[name][i].get<std::vector<double>>();
      };
      const std::vector<double> old = row("old_per_token_logps"), reference = row("ref_per_token_logps");
      const std::size_t length = lengths[i];
      train::CompletionLogProbs completion;
      completion.current = std::span(current[i]).first(length);
      if (!old.empty()) completion.old = std::span(old).first(length);
      if (!reference.empty()) completion.reference = std::span(reference).first(length);
      completion.advantage = expected["advantages"][i];
      completion.is_masked = length == 0;
      std::vector<double> gradient(length);
      loss += train::grpo_loss(options, normalizer, completion, gradient).loss;
      for (std::size_t t = 0; t < length; ++t) {
        EXPECT_NEAR(gradient[t], expected["grad_logps"][i][t].get<double>() * accumulation, 1e-10) << "row " << i << " token " << t;
      }
    }
    EXPECT_NEAR(loss, expected["loss"].get<double>() * accumulation, 1e-10);
  }
}

TEST(Advantages, AGroupWithoutDifferenceOrWithoutRewardTeachesNothingAndIsCounted) {
  const std::vector<std::optional<double>> rewards = {1.0, 1.0, 1.0, std::nullopt, std::nullopt, std::nullopt, 0.0, 1.0, std::nullopt};
  const train::Advantages advantages = train::compute_advantages(rewards, 3, config::ScaleRewards::kGroup);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(advantages.values[i], 0);
  EXPECT_LT(advantages.values[6], 0);
  EXPECT_GT(advantages.values[7], 0);
  EXPECT_EQ(advantages.values[8], 0);
  EXPECT_EQ(advantages.num_zero_std_groups, 2);
  EXPECT_EQ(advantages.num_unscored_groups, 1);
}

TEST(GrpoLoss, GradientsAgreeWithCentralDifferences) {
  const std::vector<double> current = {-0.7, -1.9, -0.2, -3.1}, old = {-0.9, -1.5, -0.25, -2.2}, reference = {-0.5, -2.0, -0.4, -3.0};
  for (const auto type : {config::LossType::kGrpo, config::LossType::kBnpo, config::LossType::kDrGrpo}) {
    for (const auto level : {config::ImportanceSamplingLevel::kToken, config::ImportanceSamplingLevel::kSequence}) {
      for (const double advantage : {1.3, -0.8}) {
        train::GrpoLossOptions options;
        options.loss_type = type;
        options.level = level;
        options.beta = 0.04;
        options.epsilon_high = 0.3;
        options.delta = 1.25;
        options.max_completion_length = 7;
        const auto loss_at = [&](const std::vector<double>& at, std::span<double> gradient) {
          return train::grpo_loss(options, {3, 11}, {at, old, reference, advantage, false}, gradient).loss;
        };
        std::vector<double> gradient(4), unused(4);
        loss_at(current, gradient);
        for (std::size_t t = 0; t < current.size(); ++t) {
          std::vector<double> up = current, down = current;
          up[t] += 1e-6;
          down[t] -= 1e-6;
          EXPECT_NEAR((loss_at(up, unused) - loss_at(down, unused)) / 2e-6, gradient[t], 1e-8);
        }
      }
    }
  }
}

}  // namespace
}  // namespace r1::test
