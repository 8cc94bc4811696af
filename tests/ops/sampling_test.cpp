#include "ops/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "ops/loss.h"
#include "tests/support/op_tensors.h"

namespace r1::test {
namespace {

using ops::SamplingSettings;

struct Sampled {
  std::vector<std::int32_t> ids;
  std::vector<float> log_probs;
};

/// Rows of logits with the same seen ids each.
Sampled sample_rows(const ExecContext& ctx, std::int64_t num_rows, const std::vector<float>& logits,
                    const std::vector<SamplingSettings>& settings, const std::vector<std::int32_t>& seen,
                    const std::vector<float>& uniforms) {
  std::vector<std::int32_t> all_seen, offsets = {0};
  for (std::int64_t r = 0; r < num_rows; ++r) {
    all_seen.insert(all_seen.end(), seen.begin(), seen.end());
    offsets.push_back(static_cast<std::int32_t>(all_seen.size()));
  }
  Tensor ids = ctx.empty({num_rows}, DType::kI32), log_probs = ctx.empty({num_rows});
  ops::sample(ctx, device_tensor(ctx, {num_rows, static_cast<std::int64_t>(logits.size()) / num_rows}, logits), settings,
              device_tensor(ctx, {static_cast<std::int64_t>(all_seen.size())}, all_seen), device_tensor(ctx, {num_rows + 1}, offsets),
              device_tensor(ctx, {num_rows}, uniforms), ids, &log_probs);
  return {values_of<std::int32_t>(ctx, ids), values_of<float>(ctx, log_probs)};
}

const std::vector<SamplingSettings> kSettings = {
    {},
    {.temperature = 0},
    {.temperature = 0.6F, .top_p = 0.95F},
    {.temperature = 1.7F, .top_k = 20},
    {.temperature = 0.9F, .top_k = 50, .top_p = 0.9F, .min_p = 0.1F, .repetition_penalty = 1.3F},
    {.temperature = 0, .repetition_penalty = 5.0F},
    {.min_p = 0.05F},
    {.top_k = 1},
    {.top_p = 1e-6F},
};

TEST(Sampling, ChoosesTheReferencesIdsAndTheSameBitsOnEveryProcessor) {
  const std::int64_t V = 3000;
  const auto num_rows = static_cast<std::int64_t>(kSettings.size());
  const std::vector<std::int32_t> seen = {5, 77, 5, 2999};
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const std::vector<float> logits = random_values(num_rows * V, seed, 3.0);
    std::vector<float> uniforms;
    for (std::int64_t r = 0; r < num_rows; ++r) uniforms.push_back(token_uniform(seed, static_cast<std::uint64_t>(r), 0, 0));
    const Sampled expected = sample_rows(*make_cpu_context(1, Backend::kReference), num_rows, logits, kSettings, seen, uniforms);
    std::optional<Sampled> first;
    for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
      SCOPED_TRACE(variant);
      const Sampled found = sample_rows(ctx, num_rows, logits, kSettings, seen, uniforms);
      EXPECT_EQ(found.ids, expected.ids);
      EXPECT_LE(largest_error(found.log_probs, expected.log_probs), 2e-6);  // as log_probs_of_logits
      if (!first) first = found;
      EXPECT_EQ(found.ids, first->ids);
      EXPECT_EQ(first_difference(found.log_probs, first->log_probs), -1);
    });
  }
}

TEST(Sampling, LogProbIsThatOfTheSharedLogSoftmaxBeforePenaltyAndFilters) {
  const auto ctx = make_cpu_context(1);
  const std::vector<float> logits = random_values(2500, 3, 2.0);
  const SamplingSettings settings{.temperature = 0.6F, .top_k = 3, .repetition_penalty = 2.0F};
  const Sampled found = sample_rows(*ctx, 1, logits, {settings}, {1, 2, 3}, {0.7F});
  Tensor log_probs = ctx->empty({1});
  ops::log_probs_of_logits(*ctx, device_tensor(*ctx, {1, 2500}, logits), device_tensor(*ctx, {1}, found.ids), 0.6F, log_probs, nullptr);
  EXPECT_EQ(first_difference(found.log_probs, values_of<float>(*ctx, log_probs)), -1);
}

TEST(Sampling, GreedyTakesTheLowestOfEqualIds) {
  for_each_cpu_variant([&](const ExecContext& ctx, const std::string& variant) {
    std::vector<float> logits(100, -1.0F);
    logits[40] = logits[73] = 2.0F;
    EXPECT_EQ(sample_rows(ctx, 1, logits, {{.temperature = 0}}, {}, {0.99F}).ids[0], 40) << variant;
  });
}

// The statistic of 100,000 draws is chi-square distributed with kept - 1 degrees of freedom: mean k, variance 2k. Five
// standard deviations are exceeded once in a million by a sampler that is right; the seed is fixed.
TEST(Sampling, DrawsFollowTheDistribution) {
  const auto ctx = make_cpu_context(1);
  constexpr std::int64_t kVocabulary = 64, kRows = 2000, kRounds = 50;
  const std::vector<float> one = random_values(kVocabulary, 11, 1.0);
  std::vector<float> logits;
  for (std::int64_t r = 0; r < kRows; ++r) logits.insert(logits.end(), one.begin(), one.end());
  for (const SamplingSettings& settings :
       {SamplingSettings{},
        SamplingSettings{.temperature = 0.7F, .top_k = 40, .top_p = 0.95F, .min_p = 0.02F, .repetition_penalty = 1.2F}}) {
    const std::vector<std::int32_t> seen = {3, 9};
    Tensor probabilities = ctx->empty({1, kVocabulary});
    ops::sampling_probabilities(*ctx, device_tensor(*ctx, {1, kVocabulary}, one), std::span(&settings, 1), device_tensor(*ctx, {2}, seen),
                                device_tensor(*ctx, {2}, std::vector<std::int32_t>{0, 2}), probabilities);
    const std::vector<float> p = values_of<float>(*ctx, probabilities);
    std::vector<std::int64_t> counts(kVocabulary, 0);
    for (std::int64_t round = 0; round < kRounds; ++round) {
      std::vector<float> uniforms;
      for (std::int64_t r = 0; r < kRows; ++r)
        uniforms.push_back(token_uniform(42, static_cast<std::uint64_t>(r), 0, static_cast<std::uint32_t>(round)));
      for (const std::int32_t id : sample_rows(*ctx, kRows, logits, std::vector(kRows, settings), seen, uniforms).ids) ++counts[id];
    }
    double statistic = 0;
    int kept = 0;
    for (std::int64_t id = 0; id < kVocabulary; ++id) {
      const double expected = double{p[id]} * kRows * kRounds;
      if (expected == 0) {
        EXPECT_EQ(counts[id], 0) << "a filtered id was drawn: " << id;
        continue;
      }
      ++kept;
      statistic += (static_cast<double>(counts[id]) - expected) * (static_cast<double>(counts[id]) - expected) / expected;
    }
    EXPECT_GT(kept, 10);
    EXPECT_LT(statistic, kept - 1 + 5 * std::sqrt(2.0 * (kept - 1)));
  }
}

TEST(Sampling, UniformAtTheEndsTakesTheFirstAndTheLastKeptId) {
  const auto ctx = make_cpu_context(1);
  std::vector<float> logits(5000, -std::numeric_limits<float>::infinity());
  logits[1030] = logits[4000] = 1.0F;
  EXPECT_EQ(sample_rows(*ctx, 1, logits, {{}}, {}, {0.0F}).ids[0], 1030);
  EXPECT_EQ(sample_rows(*ctx, 1, logits, {{}}, {}, {0.5F}).ids[0], 4000);
  EXPECT_EQ(sample_rows(*ctx, 1, logits, {{}}, {}, {1.0F - 0x1p-24F}).ids[0], 4000);
}

TEST(Sampling, NamesTheRowWhoseLogitsAreNotNumbers) {
  const auto ctx = make_cpu_context(1);
  for (const float temperature : {0.0F, 1.0F}) {
    try {
      sample_rows(*ctx, 1, std::vector<float>(50, std::nanf("")), {{.temperature = temperature}}, {}, {0.5F});
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
      EXPECT_THAT(error.what(), testing::HasSubstr("row 0"));
    }
  }
}

TEST(Sampling, RefusesSettingsOutOfRange) {
  const auto ctx = make_cpu_context(1);
  EXPECT_THROW(sample_rows(*ctx, 1, std::vector<float>(10, 0.0F), {{.top_p = 0}}, {}, {0.5F}), Error);
  EXPECT_THROW(sample_rows(*ctx, 1, std::vector<float>(10, 0.0F), {{.temperature = -1}}, {}, {0.5F}), Error);
}

}  // namespace
}  // namespace r1::test
