#include "eval/statistics.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>

#include "base/rng.h"
#include "eval/paired_tests.h"

namespace r1::eval {
namespace {

/// Share of the k-subsets of n samples, the first c of which are right, that hold a right one: by listing them all.
double pass_at_k_by_listing(int n, int c, int k) {
  int subsets = 0, with_right = 0;
  for (unsigned mask = 0; mask < (1U << n); ++mask) {
    if (std::popcount(mask) != k) continue;
    ++subsets;
    with_right += (mask & ((1U << c) - 1)) != 0 ? 1 : 0;
  }
  return static_cast<double>(with_right) / subsets;
}

TEST(PassAtK, EqualsTheShareOfSubsetsWithARightSampleForAllNUpToEight) {
  for (int n = 1; n <= 8; ++n)
    for (int c = 0; c <= n; ++c)
      for (int k = 1; k <= n; ++k) EXPECT_NEAR(pass_at_k(n, c, k), pass_at_k_by_listing(n, c, k), 1e-14) << n << " " << c << " " << k;
}

TEST(PassAtK, IsTheShareOfRightSamplesForKOne) {
  for (int n = 1; n <= 64; ++n)
    for (int c = 0; c <= n; ++c) EXPECT_NEAR(pass_at_k(n, c, 1), static_cast<double>(c) / n, 1e-12);
}

TEST(PassAtK, SurvivesManySamples) {
  EXPECT_NEAR(pass_at_k(100'000, 1, 50'000), 0.5, 1e-9);
  EXPECT_EQ(pass_at_k(100'000, 60'000, 50'000), 1);
}

/// Sum over all outcomes of n independent samples, each right with its problem's chance: the exact expectation, no random draws.
double expected_pass_at_k(const std::vector<double>& chances, int n, int k) {
  double sum = 0;
  for (const double chance : chances)
    for (unsigned outcome = 0; outcome < (1U << n); ++outcome) {
      const int c = std::popcount(outcome);
      sum += std::pow(chance, c) * std::pow(1 - chance, n - c) * pass_at_k(n, c, k);
    }
  return sum / static_cast<double>(chances.size());
}

TEST(PassAtK, ItsExpectationDoesNotDependOnTheNumberOfSamples) {
  RandomStream random(1, "chances");
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<double> chances(5);
    for (double& chance : chances) chance = random.uniform();
    double truth = 0;
    for (const double chance : chances) truth += chance / 5;
    for (int n = 1; n <= 8; ++n) EXPECT_NEAR(expected_pass_at_k(chances, n, 1), truth, 1e-12) << n;
    for (int n = 3; n <= 8; ++n) EXPECT_NEAR(expected_pass_at_k(chances, n, 3), expected_pass_at_k(chances, 3, 3), 1e-12) << n;
  }
}

TEST(PassAtK, LevelsArePowersOfTwoAndTheWhole) {
  EXPECT_THAT(pass_at_k_levels(1), ::testing::ElementsAre(1));
  EXPECT_THAT(pass_at_k_levels(8), ::testing::ElementsAre(1, 2, 4, 8));
  EXPECT_THAT(pass_at_k_levels(6), ::testing::ElementsAre(1, 2, 4, 6));
}

TEST(MeanOverProblems, HasTheStandardErrorOfTheMean) {
  const std::vector<double> values{1, 0, 0, 1, 1};
  const Estimate estimate = mean_over_problems(values);
  EXPECT_DOUBLE_EQ(estimate.mean, 0.6);
  EXPECT_NEAR(*estimate.standard_error, std::sqrt(0.3 / 5), 1e-15);  // variance with n − 1 is 0.3
  EXPECT_FALSE(mean_over_problems(std::vector<double>{1}).standard_error.has_value());
}

TEST(MeanOverProblems, ItsStandardErrorCoversTheTruthWhenProblemsDiffer) {
  // 40 problems with chances of their own, 4 samples each: a draw of problems and samples is a benchmark of a model with mean 0.5.
  RandomStream random(3, "coverage");
  int covered = 0;
  constexpr int kTrials = 2000;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values(40);
    for (double& value : values) {
      const double chance = random.uniform();
      for (int sample = 0; sample < 4; ++sample) value += random.uniform() < chance ? 0.25 : 0;
    }
    const Estimate estimate = mean_over_problems(values);
    covered += std::fabs(estimate.mean - 0.5) < 1.96 * *estimate.standard_error ? 1 : 0;
  }
  // Samples that count as if independent of their problem would cover about 84 %.
  EXPECT_NEAR(covered / static_cast<double>(kTrials), 0.95, 0.02);
}

TEST(MajorityClass, TakesTheMostVotesAndOfEqualOnesTheFirst) {
  EXPECT_EQ(majority_class(std::vector<int>{0, 1, 1, 0, 1}), 1);
  EXPECT_EQ(majority_class(std::vector<int>{0, 1, 1, 0}), 0);
  EXPECT_EQ(majority_class(std::vector<int>{-1, -1, -1, 3}), 3);
  EXPECT_EQ(majority_class(std::vector<int>{-1, -1}), -1);
}

TEST(ClassesOf, GroupsEqualAnswersUnderTheFirst) {
  const std::vector<int> answers{7, 3, -5, 7, 3, 9};
  const auto classes = classes_of(
      6, [&](int i) { return answers[static_cast<std::size_t>(i)] > 0; },
      [&](int a, int b) { return answers[static_cast<std::size_t>(a)] == answers[static_cast<std::size_t>(b)]; });
  EXPECT_THAT(classes, ::testing::ElementsAre(0, 1, -1, 0, 1, 5));
}

TEST(McNemar, IsTheTwoSidedBinomialTest) {
  EXPECT_DOUBLE_EQ(mcnemar(0, 0).p_value, 1);
  EXPECT_DOUBLE_EQ(mcnemar(3, 3).p_value, 1);
  EXPECT_NEAR(mcnemar(0, 5).p_value, 2.0 / 32, 1e-12);
  EXPECT_NEAR(mcnemar(2, 8).p_value, 2.0 * (1 + 10 + 45) / 1024, 1e-12);
  EXPECT_NEAR(mcnemar(8, 2).p_value, mcnemar(2, 8).p_value, 0);
  EXPECT_GT(mcnemar(2000, 2100).p_value, 0.1);
  const bool a[] = {true, true, false, false, true}, b[] = {true, false, true, true, true};
  EXPECT_EQ(mcnemar(a, b).only_a, 1);
  EXPECT_EQ(mcnemar(a, b).only_b, 2);
}

TEST(PairedBootstrap, IsSureAboutALargeDifferenceAndUnsureAboutNone) {
  std::vector<double> a(100), b(100), c(100);
  RandomStream random(5, "scores");
  for (std::size_t i = 0; i < 100; ++i) {
    a[i] = random.uniform() < 0.5 ? 1 : 0;
    b[i] = i % 3 == 0 ? 1 : a[i];
    c[i] = i % 10 == 0 ? 1 - a[i] : a[i];
  }
  const PairedBootstrap better = paired_bootstrap(a, b, 42);
  EXPECT_GT(better.low, 0);
  EXPECT_LT(better.p_value, 0.001);
  EXPECT_LT(better.low, better.difference);
  EXPECT_GT(better.high, better.difference);
  const PairedBootstrap same = paired_bootstrap(a, a, 42);
  EXPECT_EQ(same.difference, 0);
  EXPECT_EQ(same.p_value, 1);
  EXPECT_GT(paired_bootstrap(a, c, 42).p_value, 0.1);
  // A pure function, and the mirror of itself.
  EXPECT_EQ(paired_bootstrap(a, b, 42).low, better.low);
  EXPECT_NEAR(paired_bootstrap(b, a, 42).difference, -better.difference, 1e-15);
}

TEST(PairedBootstrap, ItsIntervalHasTheWidthOfTheStandardError) {
  std::vector<double> a(400, 0.0), b(400);
  RandomStream random(6, "differences");
  for (double& value : b) value = random.normal();
  const Estimate estimate = mean_over_problems(b);
  const PairedBootstrap interval = paired_bootstrap(a, b, 1);
  EXPECT_NEAR((interval.high - interval.low) / (2 * 1.96 * *estimate.standard_error), 1, 0.05);
}

}  // namespace
}  // namespace r1::eval
