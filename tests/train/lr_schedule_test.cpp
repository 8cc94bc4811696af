#include "train/lr_schedule.h"

#include <gmock/gmock.h>

#include "base/json.h"
#include "tests/support/paths.h"

namespace r1::train {
namespace {

LrScheduleOptions options_from(const Json& kwargs) {
  LrScheduleOptions options;
  if (kwargs.contains("min_lr")) options.min_lr = kwargs["min_lr"].get<double>();
  if (kwargs.contains("min_lr_rate")) options.min_lr_rate = kwargs["min_lr_rate"].get<double>();
  return options;
}

// Both sides compute in double; the difference is the order of a few operations.
constexpr double kRelative = 1e-12;

TEST(LrSchedule, AgreesWithTransformersAtEveryListedStep) {
  R1_REQUIRE_SHARED(shared);
  const Json vectors = read_json_file(shared + "/vectors/optim/lr_schedules.json");
  ASSERT_FALSE(vectors["cases"].empty());
  for (const Json& c : vectors["cases"]) {
    const double peak = c["learning_rate"];
    const LrSchedule schedule(c["lr_scheduler_type"].get<std::string>(), peak, c["warmup_steps"], c["max_steps"],
                              options_from(c["lr_scheduler_kwargs"]));
    for (const auto& [step, expected] : c["lr_at_step"].items()) {
      EXPECT_NEAR(schedule.learning_rate(std::stoll(step)), expected.get<double>(), kRelative * peak)
          << c["lr_scheduler_type"] << " at " << step;
    }
  }
}

TEST(LrSchedule, AgreesWithTheTrainingFixtures) {
  R1_REQUIRE_SHARED(shared);
  for (const Json& c : read_json_file(shared + "/fixtures/training/lr_schedules.json")) {
    const LrSchedule schedule(c["kind"].get<std::string>(), c["base_lr"], c["warmup_steps"], c["total_steps"], options_from(c["kwargs"]));
    std::int64_t step = 0;
    for (const Json& expected : c["lr"]) EXPECT_NEAR(schedule.learning_rate(step++), expected.get<double>(), 1e-16) << c["kind"];
  }
}

TEST(LrSchedule, StartsAtZeroWithWarmupAndAtThePeakWithout) {
  EXPECT_EQ(LrSchedule("cosine", 1e-3, 10, 100).learning_rate(0), 0);
  EXPECT_EQ(LrSchedule("cosine", 1e-3, 0, 100).learning_rate(0), 1e-3);
}

TEST(LrSchedule, NamesTheKnownSchedulesForAnUnknownOne) {
  try {
    LrSchedule("cosin", 1e-3, 0, 10);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr("cosine_with_min_lr"), ::testing::HasSubstr("'cosin'")));
  }
}

TEST(LrSchedule, RefusesAMinimumOverThePeakAndTwoMinima) {
  EXPECT_THROW(LrSchedule("cosine_with_min_lr", 1e-3, 0, 10, {.min_lr = 2e-3, .min_lr_rate = {}}), Error);
  EXPECT_THROW(LrSchedule("cosine_with_min_lr", 1e-3, 0, 10, {.min_lr = 1e-4, .min_lr_rate = 0.1}), Error);
  EXPECT_THROW(LrSchedule("cosine_with_min_lr", 1e-3, 0, 10), Error);
}

}  // namespace
}  // namespace r1::train
