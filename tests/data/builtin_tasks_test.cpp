#include "data/builtin_tasks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"

namespace r1::data {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& name, const std::string& split = "train") {
  try {
    open_builtin(name, split);
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    return error.what();
  }
  ADD_FAILURE() << name << " was opened";
  return {};
}

// The rule of the task, stated once more: left to right, last digit.
std::vector<int> running_values(const std::string& problem) {
  int value = problem[0] - '0';
  std::vector<int> values;
  for (std::size_t i = 1; i + 1 < problem.size(); i += 2) {
    const int digit = problem[i + 1] - '0';
    value = problem[i] == '+' ? value + digit : problem[i] == '-' ? value - digit : value * digit;
    value = ((value % 10) + 10) % 10;
    values.push_back(value);
  }
  return values;
}

TEST(Chain, ValuesFollowTheRuleAndTheRowHoldsThem) {
  const DatasetPtr chain = open_builtin("builtin/chain", "train");
  EXPECT_EQ(chain->num_rows(), 28'800);
  for (std::int64_t i = 0; i < 200; ++i) {
    const Json row = chain->row(i);
    const std::string prompt = row.at("prompt").get<std::string>();
    ASSERT_EQ(prompt.size(), 14u);
    ASSERT_EQ(prompt.back(), '=');
    const auto values = running_values(prompt.substr(0, 13));
    EXPECT_EQ(row.at("answer").get<std::string>(), std::to_string(values.back()));
    EXPECT_EQ(row.at("solution").get<std::string>(), fmt::format("${}$", values.back()));
    EXPECT_EQ(row.at("messages")[0].at("content"), prompt);
    EXPECT_EQ(row.at("messages")[1].at("role"), "assistant");
  }
  EXPECT_EQ(running_values("1*4*2+9*3-1*1"), (std::vector<int>{4, 8, 7, 1, 0, 0}));
}

TEST(Chain, TrainAndTestAreDisjointByAHashOfTheProblem) {
  const ChainOptions options;
  for (std::int64_t i = 0; i < 512; ++i) {
    const std::string test = chain_problem(options, true, i).text, train = chain_problem(options, false, i).text;
    EXPECT_LT(static_cast<unsigned char>(sha256(test)[0]), 26);
    EXPECT_GE(static_cast<unsigned char>(sha256(train)[0]), 26);
  }
  EXPECT_EQ(open_builtin("builtin/chain:rows=10,seed=3", "test")->num_rows(), 512);
  EXPECT_EQ(open_builtin("builtin/chain:seed=3", "test")->row(5), open_builtin("builtin/chain:seed=4", "test")->row(5))
      << "the test split does not depend on the training seed";
}

TEST(Chain, ARowIsAPureFunctionOfSeedAndIndex) {
  const DatasetPtr chain = open_builtin("builtin/chain:seed=9", "train"),
                   longer = open_builtin("builtin/chain:seed=9,rows=999999", "train");
  const Json row = chain->row(77);
  chain->row(3);
  EXPECT_EQ(chain->row(77), row);
  EXPECT_EQ(longer->row(77), row);
  EXPECT_NE(open_builtin("builtin/chain:seed=8", "train")->row(77), row);
  EXPECT_NE(chain->content_hash(), longer->content_hash());
}

TEST(Chain, OperatorsAreDrawnWithWeightsThreeThreeFour) {
  std::map<char, int> count;
  for (std::int64_t i = 0; i < 5000; ++i) {
    for (const char c : chain_problem({}, false, i).text) ++count[c];
  }
  EXPECT_NEAR(count['+'] / 30000.0, 0.3, 0.01);
  EXPECT_NEAR(count['-'] / 30000.0, 0.3, 0.01);
  EXPECT_NEAR(count['*'] / 30000.0, 0.4, 0.01);
}

TEST(Chain, TheTeacherIsHastyAndSloppyInTheGivenShares) {
  const ChainOptions options;
  int easy = 0, easy_full = 0, hard = 0, hard_full = 0, no_answer_tag = 0, no_think = 0, not_closed = 0;
  std::map<int, int> hasty_lengths;
  const int count = 20'000;
  for (std::int64_t i = 0; i < count; ++i) {
    const ChainProblem problem = chain_problem(options, false, i);
    const std::string trace = chain_trace(options, false, i, problem);
    const bool has_think = trace.find("<think>") != std::string::npos, closed = trace.find("</think>") != std::string::npos,
               has_answer = trace.find("<answer>") != std::string::npos;
    no_think += !has_think;
    not_closed += has_think && !closed;
    no_answer_tag += !has_answer;
    if (!has_think || !closed || !has_answer) continue;
    const std::string thought = trace.substr(8, trace.find("\n</think>") - 8);
    const int written = thought.empty() ? 0 : static_cast<int>(std::count(thought.begin(), thought.end(), ',')) + 1;
    const bool full = written == options.steps;
    (problem.multiplications <= 1 ? easy : hard) += 1;
    (problem.multiplications <= 1 ? easy_full : hard_full) += full;
    if (!full) ++hasty_lengths[written];
    EXPECT_THAT(trace, HasSubstr("<answer>\n" + std::to_string(problem.values.back()) + "\n</answer>"));
  }
  for (const int broken : {no_answer_tag, no_think, not_closed}) EXPECT_NEAR(broken / double(count), 0.1 / 3, 0.006);
  EXPECT_NEAR(easy / double(easy + hard), 0.233, 0.01);  // at most 1 of 6 with p = 0.4
  EXPECT_NEAR(easy_full / double(easy), 0.75, 0.02);
  EXPECT_NEAR(hard_full / double(hard), 0.10, 0.01);
  ASSERT_EQ(hasty_lengths.size(), 4u) << "0 to steps - hj";
  for (const auto& [length, times] : hasty_lengths) {
    EXPECT_LE(length, 3);
    EXPECT_NEAR(times / double(easy + hard - easy_full - hard_full), 0.25, 0.02);
  }
}

TEST(Chain, OptionsChangeStepsTeacherAndForm) {
  const DatasetPtr chain = open_builtin("builtin/chain:steps=10,hj=10,careful=0,easy=0,noise=0,format=prompt_completion,rows=4", "train");
  const Json row = chain->row(3);
  EXPECT_EQ(chain->num_rows(), 4);
  EXPECT_EQ(row.at("prompt")[0].at("content").get<std::string>().size(), 22u);
  EXPECT_EQ(row.at("completion")[0].at("content").get<std::string>().substr(0, 18), "<think>\n\n</think>\n")
      << "stops after no value at all";
  EXPECT_FALSE(chain->has_column("messages"));
}

TEST(Builtin, WrongNamesAreUsageErrorsThatSayWhatThereIs) {
  EXPECT_THAT(error_of("builtin/chian"), HasSubstr("did you mean 'chain'"));
  EXPECT_THAT(error_of("builtin/chain:step=3"), HasSubstr("did you mean 'steps'"));
  EXPECT_THAT(error_of("builtin/chain:steps=x"), HasSubstr("expected a whole number from 1 to 1000, found 'x'"));
  EXPECT_THAT(error_of("builtin/chain:steps=0"), HasSubstr("found '0'"));
  EXPECT_THAT(error_of("builtin/chain:steps=2,steps=3"), HasSubstr("twice"));
  EXPECT_THAT(error_of("builtin/chain:steps"), HasSubstr("key=value"));
  EXPECT_THAT(error_of("builtin/chain:noise=2"), HasSubstr("share from 0 to 1"));
  EXPECT_THAT(error_of("builtin/chain", "validation"), HasSubstr("train or test"));
}

// Evaluates + - * / with parentheses on integers by recursive descent.
struct Evaluator {
  const std::string& text;
  std::size_t at = 0;
  std::vector<int> used;
  void blanks() {
    while (at < text.size() && text[at] == ' ') ++at;
  }
  double sum() {
    double value = product();
    for (blanks(); at < text.size() && (text[at] == '+' || text[at] == '-'); blanks()) value += text[at++] == '+' ? product() : -product();
    return value;
  }
  double product() {
    double value = factor();
    for (blanks(); at < text.size() && (text[at] == '*' || text[at] == '/'); blanks()) {
      if (text[at++] == '*') value *= factor();
      else value /= factor();
    }
    return value;
  }
  double factor() {
    blanks();
    if (text[at] == '(') {
      ++at;
      const double value = sum();
      ++at;
      return value;
    }
    int number = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') number = number * 10 + (text[at++] - '0');
    used.push_back(number);
    return number;
  }
};

TEST(Countdown, EveryAnswerReachesTheTargetWithTheGivenNumbers) {
  for (const int numbers : {3, 4, 6}) {
    CountdownOptions options;
    options.numbers = numbers;
    for (std::int64_t i = 0; i < 300; ++i) {
      const CountdownProblem problem = countdown_problem(options, i % 2 == 0, i);
      Evaluator evaluator{problem.expression, 0, {}};
      EXPECT_EQ(evaluator.sum(), problem.target) << problem.expression;
      std::vector<int> nums = problem.nums;
      std::sort(nums.begin(), nums.end());
      std::sort(evaluator.used.begin(), evaluator.used.end());
      EXPECT_EQ(nums, evaluator.used);
      EXPECT_EQ(problem.steps.size(), static_cast<std::size_t>(numbers - 1));
    }
  }
}

TEST(Countdown, TheSplitDoesNotDependOnTheOrderOfTheNumbers) {
  std::set<std::string> train, test;
  const CountdownOptions small{.numbers = 2, .largest = 9};
  const auto key = [](CountdownProblem problem) {
    std::sort(problem.nums.begin(), problem.nums.end());
    return std::to_string(problem.nums[0]) + " " + std::to_string(problem.nums[1]) + " " + std::to_string(problem.target);
  };
  for (std::int64_t i = 0; i < 500; ++i) {
    train.insert(key(countdown_problem(small, false, i)));
    test.insert(key(countdown_problem(small, true, i)));
  }
  for (const std::string& problem : test) EXPECT_FALSE(train.contains(problem)) << problem;
}

}  // namespace
}  // namespace r1::data
