// The original's values over ../shared/vectors/rewards, in their revisions.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "rewards/registry.h"
#include "tests/support/paths.h"

namespace r1::rewards {
namespace {

RewardOptions options_of(const Json& row) {
  RewardOptions options;
  options.revision = revision_by_name(row["rev"].get<std::string>());
  const Json& args = row["args"];
  const auto number = [&](const char* name, auto& target) {
    if (args.contains(name)) target = args[name].get<double>();
  };
  number("min_value_wrong", options.cosine_min_value_wrong);
  number("max_value_wrong", options.cosine_max_value_wrong);
  number("min_value_correct", options.cosine_min_value_correct);
  number("max_value_correct", options.cosine_max_value_correct);
  number("max_len", options.cosine_max_len);
  number("ngram_size", options.repetition_n_grams);
  number("max_penalty", options.repetition_max_penalty);
  number("max_completion_len", options.max_completion_len);
  number("soft_punish_cache", options.soft_punish_cache);
  if (args.contains("language")) options.repetition_language = *(options.code_language = args["language"].get<std::string>());
  return options;
}

class RewardVectors : public testing::TestWithParam<const char*> {};

TEST_P(RewardVectors, AreTheOriginalsValues) {
  R1_REQUIRE_SHARED(shared);
  int compared = 0;
  for (const std::string& line : split(read_file(shared + "/vectors/rewards/" + std::string(GetParam()) + ".jsonl"), '\n')) {
    if (trim(line).empty()) continue;
    const Json row = parse_json(line, GetParam());
    if (row["disputed"].get<bool>()) continue;
    if (row["args"].value("language", "en") == "zh") {
      if (row["fn"] == "repetition_penalty") EXPECT_THROW((void)make_reward("repetition_penalty", options_of(row)), Error);
      continue;
    }
    const bool list = row["completion"].is_array();
    const std::size_t count = list ? row["completion"].size() : 1;
    std::vector<std::string> texts(count);
    std::vector<Json> columns(count, row);
    std::vector<Completion> completions(count);
    for (std::size_t i = 0; i < count; ++i) {
      const Json& text = list ? row["completion"][i] : row["completion"];
      if (text.is_string()) texts[i] = text.get<std::string>();
      if (row["solution"].is_array()) columns[i]["solution"] = row["solution"][i];
      completions[i] = {.text = texts[i], .num_tokens = row["args"].value("completion_tokens", std::int64_t{0}), .row = &columns[i]};
    }
    const auto results = make_reward(row["fn"].get<std::string>(), options_of(row))->score(completions, nullptr);
    for (std::size_t i = 0; i < count; ++i) {
      const Json& expected = list ? row["expected"][i] : row["expected"];
      ++compared;
      ASSERT_EQ(results[i].value.has_value(), !expected.is_null()) << row["id"];
      if (results[i].value) EXPECT_NEAR(*results[i].value, expected.get<double>(), 1e-9) << row["id"];
    }
  }
  EXPECT_GT(compared, 20);
}

INSTANTIATE_TEST_SUITE_P(OpenR1, RewardVectors,
                         testing::Values("accuracy", "format", "reasoning_steps", "cosine", "repetition_penalty", "len", "tag_count",
                                         "soft_overlong_punishment", "code_format"));

}  // namespace
}  // namespace r1::rewards
