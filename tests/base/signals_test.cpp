#include "base/signals.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"

namespace r1 {
namespace {

TEST(SignalsDeathTest, ASecondTermEndsTheProcessAtOnce) {
  const auto two_terms = [] {
    signals::install();
    std::raise(SIGTERM);
    EXPECT_TRUE(signals::stop_requested());
    std::raise(SIGTERM);
  };
  EXPECT_EXIT(two_terms(), testing::ExitedWithCode(143), "");
}

TEST(SignalsDeathTest, ATermAfterEverythingIsSavedDoesNotHideThatItIs) {
  const auto stopped_between = [] {
    signals::install();
    std::raise(SIGTERM);
    const signals::Stopped stopped;
    std::raise(SIGTERM);
  };
  EXPECT_EXIT(stopped_between(), testing::ExitedWithCode(kExitRequeue), "");
}

TEST(SignalsDeathTest, Usr2AsksForASaveOnce) {
  const auto saved = [] {
    signals::install();
    std::raise(SIGUSR2);
    const bool first = signals::take_save_request(), second = signals::take_save_request();
    std::_Exit(first && !second && !signals::stop_requested() ? 0 : 1);
  };
  EXPECT_EXIT(saved(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace r1
