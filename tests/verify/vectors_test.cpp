// The library's verdicts over ../shared/vectors/answers: agreement, false positives, extraction; MATH-500 and AIME against themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "tests/support/paths.h"
#include "verify/verify.h"

namespace r1::verify {
namespace {

std::vector<Json> rows_of(const std::string& path) {
  std::vector<Json> rows;
  for (const std::string& line : split(read_file(path), '\n'))
    if (!trim(line).empty()) rows.push_back(parse_json(line, path));
  return rows;
}

TEST(AnswerVectors, AgreeWithTheLibraryInNinetyNinePercentAndHaveNoFalsePositives) {
  R1_REQUIRE_SHARED(shared);
  int agreed = 0, total = 0, false_positives = 0;
  for (const char* file : {"math500_self", "math500_equivalent", "math500_wrong", "math500_open_r1_config"}) {
    for (const Json& row : rows_of(shared + "/vectors/answers/" + file + ".jsonl")) {
      if (row.value("disputed", false) || row.contains("other_versions")) continue;
      const bool expected = row["expected"];
      const bool correct =
          verify(row["gold"].get<std::string>(), row["pred"].get<std::string>(), profile_by_name(row["config"].get<std::string>()))
              .correct();
      ++total;
      agreed += correct == expected ? 1 : 0;
      false_positives += correct && !expected ? 1 : 0;
      if (correct != expected) GTEST_LOG_(INFO) << row["gold"] << " ~ " << row["pred"] << ": the library says " << expected;
    }
  }
  EXPECT_GE(agreed, 0.99 * total);
  EXPECT_LE(false_positives, 0.001 * total);
  EXPECT_GT(total, 2000);
}

TEST(AnswerVectors, ExtractTheSameAnswersInNinetyEightPercent) {
  R1_REQUIRE_SHARED(shared);
  const auto plain = [](std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '{' || c == '}'; });
    return to_lower_ascii(text);
  };
  int same = 0, total = 0;
  for (const Json& row : rows_of(shared + "/vectors/answers/extract.jsonl")) {
    std::set<std::string> wanted;
    for (const Json& part : row["extracted"]) wanted.insert(plain(part["str"].get<std::string>()));
    const auto found =
        describe(extract_answer(row["text"].get<std::string>(), profile_by_name(row["config"].get<std::string>()).prediction));
    const bool overlap = std::any_of(found.begin(), found.end(), [&](const std::string& part) { return wanted.contains(plain(part)); });
    ++total;
    same += wanted.empty() == found.empty() && (wanted.empty() || overlap) ? 1 : 0;
  }
  EXPECT_GE(same, 0.98 * total);
}

TEST(Benchmarks, EveryMath500SolutionEqualsItselfAndItsAnswer) {
  R1_REQUIRE_SHARED(shared);
  const Profile latex = profile_by_name("latex"), any = profile_by_name("default");
  int right = 0;
  const auto rows = rows_of(shared + "/data/bench/math500/test.jsonl");
  for (const Json& row : rows) {
    const std::string solution = row["solution"].get<std::string>(), answer = "$" + row["answer"].get<std::string>() + "$";
    const Answer gold = extract_answer(solution, latex.gold);
    const bool itself = compare_answers(gold, extract_answer(solution, any.prediction)).correct();
    const bool its_answer = compare_answers(gold, extract_answer(answer, any.prediction)).correct();
    right += itself && its_answer ? 1 : 0;
    EXPECT_TRUE(itself) << row["unique_id"];
    EXPECT_TRUE(its_answer) << row["unique_id"] << " " << answer;
  }
  EXPECT_EQ(right, 500);
}

TEST(Benchmarks, EveryAimeAnswerEqualsItself) {
  R1_REQUIRE_SHARED(shared);
  const Profile any = profile_by_name("default");
  for (const char* name : {"aime24", "aime25"}) {
    int right = 0;
    const auto rows = rows_of(shared + "/data/bench/" + name + "/test.jsonl");
    for (const Json& row : rows) {
      const std::string answer = row["answer"].is_string() ? row["answer"].get<std::string>() : row["answer"].dump();
      right += verify(answer, "So the answer is \\boxed{" + answer + "}.", any).correct() ? 1 : 0;
      if (row.contains("solution")) EXPECT_TRUE(verify(answer, row["solution"].get<std::string>(), any).correct()) << row["id"];
    }
    EXPECT_EQ(right, static_cast<int>(rows.size())) << name;
    EXPECT_EQ(rows.size(), 30u) << name;
  }
}

}  // namespace
}  // namespace r1::verify
