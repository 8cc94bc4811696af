#include "base/error.h"

#include <gmock/gmock.h>

#include "base/log.h"
#include "base/profile.h"

namespace r1 {
namespace {

using ::testing::HasSubstr;

TEST(ExitCode, IsThePublicListOfCodes) {
  EXPECT_EQ(exit_code(ErrorKind::kInternal), 1);
  EXPECT_EQ(exit_code(ErrorKind::kUsage), 2);
  EXPECT_EQ(exit_code(ErrorKind::kConfig), 2);
  EXPECT_EQ(exit_code(ErrorKind::kData), 3);
  EXPECT_EQ(exit_code(ErrorKind::kModel), 3);
  EXPECT_EQ(exit_code(ErrorKind::kNumeric), 4);
  EXPECT_EQ(exit_code(ErrorKind::kComm), 5);
  EXPECT_EQ(exit_code(ErrorKind::kDisk), 6);
  EXPECT_EQ(exit_code(ErrorKind::kMemory), 7);
  EXPECT_EQ(kExitRequeue, 85);
}

TEST(Assertion, IsAnInternalErrorWithItsPlace) {
  try {
    R1_ASSERT(1 + 1 == 3, "arithmetic");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_THAT(error.what(), HasSubstr("error_test.cpp"));
    EXPECT_THAT(error.what(), HasSubstr("arithmetic (1 + 1 == 3)"));
  }
}

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override { ::testing::internal::CaptureStderr(); }
  void TearDown() override {
    log::set_rank(0);
    log::set_level(log::Level::kError);
    log::set_before_line(nullptr);
  }
  static std::string output() { return ::testing::internal::GetCapturedStderr(); }
};

TEST_F(LogTest, DropsWhatIsBelowTheLevel) {
  log::set_level(log::Level::kNotice);
  log::info("info {}", 1);
  log::notice("notice {}", 2);
  log::warning("warning");
  EXPECT_EQ(output(), "notice: notice 2\nwarning: warning\n");
}

TEST_F(LogTest, OtherRanksSpeakOnlyOfErrors) {
  log::set_level(log::Level::kInfo);
  log::set_rank(3);
  log::warning("quiet");
  log::error("loud");
  EXPECT_EQ(output(), "rank 3: error: loud\n");
}

TEST_F(LogTest, ANoticeWithAKeyIsShownOnce) {
  log::set_level(log::Level::kInfo);
  log::notice_once("log_test.key", "first");
  log::notice_once("log_test.key", "second");
  EXPECT_EQ(output(), "notice: first\n");
}

TEST_F(LogTest, KnowsTheNamesOfLevels) {
  output();
  EXPECT_EQ(log::level_from_name("critical"), log::Level::kError);
  EXPECT_EQ(log::level_from_name("passive"), log::Level::kInfo);
  EXPECT_THROW(log::level_from_name("loud"), Error);
  ::testing::internal::CaptureStderr();
  output();
}

TEST(Profile, CountsAZoneWithoutTheZonesInsideIt) {
  profile::reset();
  profile::set_enabled(true);
  const double begin = now_seconds();
  {
    const profile::Zone outer("profile_test.outer");
    for (int i = 0; i < 3; ++i) {
      const profile::Zone inner("profile_test.inner");
      const double until = now_seconds() + 0.01;
      while (now_seconds() < until) {
      }
    }
  }
  const double wall = now_seconds() - begin;
  profile::set_enabled(false);
  { const profile::Zone off("profile_test.off"); }
  const std::vector<profile::ZoneTotal> totals = profile::totals();
  ASSERT_EQ(totals.size(), 2);
  const bool inner_first = totals[0].name == "profile_test.inner";
  const profile::ZoneTotal &inner = totals[inner_first ? 0 : 1], &outer = totals[inner_first ? 1 : 0];
  EXPECT_EQ(inner.calls, 3);
  EXPECT_GE(inner.seconds, 0.03);
  EXPECT_EQ(outer.calls, 1);
  EXPECT_LE(inner.seconds + outer.seconds, wall) << "no moment counts twice";
  profile::reset();
}

}  // namespace
}  // namespace r1
