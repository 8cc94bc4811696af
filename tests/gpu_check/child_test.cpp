// Programs that fail, hang and crash, and what is read of their output.
#include "tools/gpu/child.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/profile.h"
#include "base/strings.h"
#include "tests/support/paths.h"
#include "tools/gpu/programs.h"

namespace r1::gpu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ChildTest : public ::testing::Test {
 protected:
  Child shell(const std::string& text, double seconds = 20, double quiet_seconds = 0, const Budget* budget = nullptr) {
    Program program{"sh", {"-c", text}};
    program.seconds = seconds;
    program.quiet_seconds = quiet_seconds;
    return run_program({.bin = "/nonexistent", .logs = folder_.file("logs"), .budget = budget}, program);
  }
  test::TemporaryFolder folder_;
};

TEST_F(ChildTest, GivesOutputLineByLineAndTheExitCode) {
  Program program{"sh", {"-c", "echo one; echo two >&2; printf rest; exit 3"}};
  std::vector<std::string> lines;
  program.on_line = [&](const std::string& line) { lines.push_back(line); };
  const Child done = run_program({.bin = "/nonexistent", .logs = folder_.file("logs")}, program);
  EXPECT_EQ(done.exit_code, 3);
  EXPECT_EQ(done.output, "one\ntwo\nrest");
  EXPECT_THAT(lines, ElementsAre("one", "two"));
  EXPECT_FALSE(std::filesystem::is_empty(folder_.file("logs"))) << "what a failed child wrote is kept";
}

TEST_F(ChildTest, EndsOneThatHangsWithAllThatItStarted) {
  const double begin = now_seconds();
  const Child done = shell("echo begun; sleep 100 & sleep 100", 0.5);
  EXPECT_LT(now_seconds() - begin, 5);
  EXPECT_TRUE(done.is_hung);
  EXPECT_THAT(problem_of(done), HasSubstr("it hung and was ended: begun"));
}

TEST_F(ChildTest, EndsOneThatIsSilentForTooLong) {
  EXPECT_TRUE(shell("sleep 100", 50, 0.3).is_hung);
  EXPECT_TRUE(shell("for i in 1 2 3 4; do echo $i; sleep 0.2; done", 50, 2).succeeded());
}

TEST_F(ChildTest, DoesNotWaitForWhatHoldsItsOutput) {
  const double begin = now_seconds();
  EXPECT_TRUE(shell("sleep 100 & echo done").succeeded());
  EXPECT_LT(now_seconds() - begin, 5);
}

TEST_F(ChildTest, NamesTheSignalOfACrash) { EXPECT_THAT(problem_of(shell("kill -SEGV $$")), HasSubstr("killed by signal 11")); }

TEST_F(ChildTest, SaysThatTheTimeOfTheWholeRunIsUp) {
  const Budget none(0), little(1.3);
  EXPECT_TRUE(shell("echo never", 20, 0, &none).is_out_of_time);
  EXPECT_EQ(shell("echo never", 20, 0, &none).output, "");
  const Child cut = shell("sleep 100", 200, 0, &little);
  EXPECT_TRUE(cut.is_out_of_time);
  EXPECT_FALSE(cut.is_hung);
}

TEST(TailOf, CutsBetweenLetters) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "ä";
  for (const std::string& more : {std::string(), std::string("x")}) {
    const std::string tail = tail_of(text + more);
    EXPECT_FALSE(first_invalid_utf8(tail));
    EXPECT_LE(tail.size(), 410U);
  }
  EXPECT_FALSE(first_invalid_utf8(tail_of("\xFF\xC3")));
}

TEST(JsonLines, LeavesOutWhatIsNone) {
  const auto rows = json_lines("warning: {not json}\n{\"a\": 1}\n{\"a\": \n\n[1]\n{\"a\": 2}");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1]["a"], 2);
  EXPECT_TRUE(json_lines_of_file("/nonexistent").empty());
}

TEST(Median, IsTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(median({}), 0);
}

TEST(Sanitizer, PassesWithASummaryAndAnEntryThatPassedAlone) {
  const std::string entry = "@gpu_check {\"section\":\"s\",\"name\":\"swiglu\",\"outcome\":\"passed\",\"text\":\"\"}\n",
                    summary = "========= ERROR SUMMARY: 0 errors\n";
  EXPECT_EQ(sanitizer_verdict({0, entry + summary}).outcome, Outcome::kPassed);
  EXPECT_EQ(sanitizer_verdict({0, summary}).outcome, Outcome::kFailed) << "nothing was run";
  EXPECT_EQ(sanitizer_verdict({0, entry}).outcome, Outcome::kFailed) << "the tool did not look";
  EXPECT_EQ(sanitizer_verdict({9, entry + "========= ERROR SUMMARY: 3 errors\n"}).outcome, Outcome::kFailed);
  EXPECT_EQ(sanitizer_verdict({0, "========= Error: Device not supported.\n"}).outcome, Outcome::kNotRun);
  EXPECT_EQ(sanitizer_verdict({.is_out_of_time = true}).outcome, Outcome::kNotRun);
  EXPECT_EQ(sanitizer_verdict({137, entry, true}).outcome, Outcome::kFailed) << "it hung";
}

}  // namespace
}  // namespace r1::gpu
