#include "report/progress.h"

#include <gmock/gmock.h>

#include "base/log.h"
#include "base/strings.h"

namespace r1::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

double g_time = 0;
double test_clock() { return g_time; }

// The tests' main() shows errors only; progress belongs to level info.
class ProgressTest : public ::testing::Test {
 protected:
  void SetUp() override {
    g_time = 0;
    log::set_level(log::Level::kInfo);
    ::testing::internal::CaptureStderr();
  }
  void TearDown() override {
    if (!taken_) output();
    log::set_level(log::Level::kError);
  }
  std::string output() {
    taken_ = true;
    return ::testing::internal::GetCapturedStderr();
  }
  bool taken_ = false;
};

TEST(ProgressLine, ShowsWhatThereIs) {
  EXPECT_EQ(progress_line("step", {.done = 3}), "step 3");
  EXPECT_EQ(progress_line("step", {.done = 120,
                                   .total = 900,
                                   .loss = 0.41234,
                                   .reward = 1.5,
                                   .tokens_per_second = 9812,
                                   .fraction_of_peak = 0.412,
                                   .seconds_left = 200,
                                   .more = {{"kl", "0.01"}}}),
            "step 120/900 · loss 0.4123 · reward 1.500 · kl 0.01 · 9.8 K tokens/s · 41 % of peak · 3 min 20 s left");
}

TEST(ProgressBar, IsCutToTheWidthOfTheTerminal) {
  const ProgressState state = {.done = 50, .total = 100, .loss = 1.0};
  EXPECT_EQ(progress_bar("step", state, 80), "━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌ step 50/100 · loss 1.0000");
  for (const int width : {10, 40, 45}) EXPECT_LE(count_code_points(progress_bar("step", state, width)), static_cast<std::size_t>(width));
  EXPECT_THAT(progress_bar("step", {.done = 7, .total = 5}, 80), HasSubstr("━━━━━━━━━━━━━━━━━━━━ step 7/5"));
}

TEST_F(ProgressTest, InALogFileShowsTheFirstTheLastAndOneLineAnInterval) {
  Progress progress({.line_interval_seconds = 10, .on_terminal = false, .clock = test_clock});
  for (int step = 1; step <= 10; ++step) {
    g_time += 4;
    progress.update({.done = step, .total = 10});
  }
  progress.finish();
  const std::vector<std::string> lines = split(output(), '\n');
  EXPECT_THAT(lines,
              ElementsAre("step 1/10 · 36.0 s left", "step 4/10 · 24.0 s left", "step 7/10 · 12.0 s left", "step 10/10 · 0.00 s left", ""));
}

TEST_F(ProgressTest, EstimatesFromWhatThisProcessDidAfterAResume) {
  Progress progress({.line_interval_seconds = 0, .on_terminal = false, .clock = test_clock});
  g_time = 100;  // loading
  progress.update({.done = 501, .total = 1000});
  g_time = 102;
  progress.update({.done = 502, .total = 1000});
  const std::string text = output();
  EXPECT_THAT(text, HasSubstr("step 501/1000\n"));
  EXPECT_THAT(text, HasSubstr("step 502/1000 · 16 min 36 s left\n"));
}

TEST_F(ProgressTest, ABarClearsItselfBeforeALogLine) {
  Progress progress({.redraw_interval_seconds = 0, .on_terminal = true, .clock = test_clock});
  progress.update({.done = 1, .total = 2});
  log::info("a line");
  progress.update({.done = 2, .total = 2});
  progress.finish();
  log::info("after");
  const std::string text = output();
  EXPECT_THAT(text, HasSubstr("step 1/2\r\033[Ka line\n\r\033[K"));
  EXPECT_THAT(text, ::testing::EndsWith("\r\033[Kstep 2/2\nafter\n"));
}

TEST_F(ProgressTest, IsSilentBelowItsLevelAndOnOtherRanks) {
  {
    log::set_level(log::Level::kWarning);
    Progress progress({.on_terminal = true, .clock = test_clock});
    progress.update({.done = 1, .total = 2});
  }
  log::set_level(log::Level::kInfo);
  log::set_rank(1);
  {
    Progress progress({.on_terminal = false, .clock = test_clock});
    progress.update({.done = 1, .total = 2});
  }
  log::set_rank(0);
  EXPECT_EQ(output(), "");
}

}  // namespace
}  // namespace r1::report
