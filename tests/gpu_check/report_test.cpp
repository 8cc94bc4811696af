// What gpu_check keeps: the file after every line, joined results, goals.
#include "tools/gpu/report.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "base/files.h"
#include "tests/support/paths.h"
#include "tools/gpu/goals.h"
#include "tools/gpu/machine.h"
#include "tools/gpu/speed.h"

namespace r1::gpu {
namespace {

using ::testing::HasSubstr;

TEST(Report, WritesTheFileAfterEveryLineWhateverTheBytes) {
  const test::TemporaryFolder folder;
  Report report(folder.file("report.json"), Json::object());
  report.section("checks");
  report.line("one", Outcome::kPassed, "cut in a letter: \xC3");
  EXPECT_EQ(read_json_file(folder.file("report.json"))["checks"][0]["outcome"], "passed");
  report.line("two", Outcome::kFailed, "", {{"number", 1.5}});
  EXPECT_EQ(read_json_file(folder.file("report.json"))["checks"][1]["number"], 1.5);
}

TEST(Report, KeepsSectionsOfAnEarlierRunUntilItOpensThem) {
  const test::TemporaryFolder folder;
  const Json row = {{"name", "old"}, {"outcome", "passed"}, {"text", ""}};
  Report report(folder.file("report.json"), {{"parity", {row}}, {"speed", {row, row}}, {"late", {row}}});
  report.section("speed");
  report.line("new", Outcome::kMeasured, "");
  report.section("late", /*keep=*/true);
  report.line("new", Outcome::kNotRun, kTimeIsUp);
  const Json written = read_json_file(folder.file("report.json"));
  EXPECT_EQ(written["parity"][0]["name"], "old");
  EXPECT_EQ(written["speed"].size(), 1U);
  EXPECT_EQ(written["late"].size(), 2U);
  EXPECT_EQ(report.count(Outcome::kPassed), 0) << "of this run";
  EXPECT_EQ(report.total(Outcome::kPassed), 2) << "of the file";
}

TEST(Report, CountsChecksAndNotLibraries) {
  const test::TemporaryFolder folder;
  Report report(folder.file("report.json"), Json::object());
  report.section("libraries");
  report.line("cuDNN", Outcome::kFound, "");
  report.line("NCCL", Outcome::kNotFound, "");
  EXPECT_EQ(report.total(Outcome::kPassed) + report.total(Outcome::kNotRun), 0);
}

TEST(Report, TakesWhatAChildTells) {
  const test::TemporaryFolder folder;
  Report parent(folder.file("report.json"), Json::object());
  Report child([&](const Json& message) { parent.take(message); }, {"b"});
  child.section("ops");
  EXPECT_TRUE(child.begin("a"));
  EXPECT_FALSE(child.begin("b")) << "it is to be left out";
  child.line("a", Outcome::kMeasured, "fast", {{"seconds", 2}});
  child.set("about", "device", "H200");
  EXPECT_EQ(parent.json()["ops"][0]["seconds"], 2);
  EXPECT_EQ(parent.json()["about"]["device"], "H200");
}

TEST(DataSheet, IsKnownForThreeDevicesAndNoVariantOfThem) {
  EXPECT_EQ(data_sheet_of("NVIDIA H200")->bytes_per_second, 4.8e12);
  EXPECT_EQ(data_sheet_of("NVIDIA H100 80GB HBM3")->bytes_per_second, 3.35e12);
  EXPECT_EQ(data_sheet_of("NVIDIA A100-SXM4-80GB")->bf16_flops, 312e12);
  for (const char* other : {"NVIDIA H100 PCIe", "NVIDIA H200 NVL", "NVIDIA GH200 480GB", "NVIDIA A100-SXM4-40GB", "Tesla V100", "stand-in",
                            "NVIDIA H100 80GB HBM3 MIG 1g.10gb"}) {
    EXPECT_FALSE(data_sheet_of(other)) << other;
  }
}

TEST(DataSheet, MakesACopyBelowHalfOfItAFault) {
  EXPECT_FALSE(is_plausible_copy(data_sheet_of("NVIDIA H200"), 2.3e12));
  EXPECT_TRUE(is_plausible_copy(data_sheet_of("NVIDIA H200"), 4.0e12));
  EXPECT_TRUE(is_plausible_copy(data_sheet_of("another"), 1e9)) << "nothing is known of it";
}

Json row(const char* name, Json more) {
  Json one = {{"name", name}, {"outcome", "measured"}, {"text", ""}};
  one.update(more);
  return one;
}
Json decoding(int batch, double rate, const char* mode = "", const char* storage = "bfloat16") {
  return row("decoding", {{"work", "decoding"}, {"batch", batch}, {"bytes_per_second", rate}, {"mode", mode}, {"storage", storage}});
}

class GoalsTest : public ::testing::Test {
 protected:
  /// The goal whose name has the text.
  Json goal(const Json& before, const std::string& text) {
    Report report(folder_.file("report.json"), before);
    report_goals(report);
    EXPECT_EQ(report.count(Outcome::kFailed), 0) << "a missed goal is no failure";
    for (const Json& one : report.json()[kGoalsSection]) {
      if (one["name"].get<std::string>().find(text) != std::string::npos) return one;
    }
    return nullptr;
  }
  test::TemporaryFolder folder_;
};

TEST_F(GoalsTest, AreJudgedOnTheBestOfEachSide) {
  const Json before = {
      {kStepsSection,
       {row("SFT", {{"work", "training"}, {"tokens_per_second", 100}, {"mfu_data_sheet", 0.4}}),
        row("SFT", {{"work", "training"}, {"tokens_per_second", 160}, {"mfu_data_sheet", 0.6}})}},
      {kPytorchSection,
       {row("SFT", {{"work", "training"}, {"tokens_per_second", 80}}), row("SFT", {{"work", "training"}, {"tokens_per_second", 110}})}}};
  EXPECT_EQ(goal(before, "MFU")["outcome"], "met");
  EXPECT_EQ(goal(before, "transformers")["outcome"], "missed");
  EXPECT_NEAR(goal(before, "transformers")["measured"].get<double>(), 160.0 / 110, 1e-9);
}

TEST_F(GoalsTest, OfDecodingAreSharesOfTheCopyInThePlainMode) {
  const Json before = {
      {kCeilingsSection, {row("copy", {{"bytes_per_second", 4e12}})}},
      {kStepsSection,
       {decoding(1, 3.1e12), decoding(256, 2.0e12), decoding(256, 3.9e12, "enforce_eager"), decoding(256, 3.9e12, "", "float8_e4m3fn")}}};
  EXPECT_EQ(goal(before, "batch 1:")["outcome"], "met");
  EXPECT_EQ(goal(before, "batch 256:")["outcome"], "missed");
}

TEST_F(GoalsTest, ListTheOpsThatMiss) {
  const Json before = {{kCeilingsSection, {row("copy", {{"bytes_per_second", 100.0}})}},
                       {kOpsSection,
                        {row("swiglu", {{"is_memory_bound", true}, {"bytes_per_second", 90.0}}),
                         row("rope", {{"is_memory_bound", true}, {"bytes_per_second", 50.0}}),
                         row("linear", {{"is_memory_bound", false}, {"bytes_per_second", 1.0}})}}};
  const Json one = goal(before, "ops bound by memory");
  EXPECT_EQ(one["outcome"], "missed");
  EXPECT_THAT(one["text"].get<std::string>(), HasSubstr("1 of 2 miss: rope 50 %"));
}

TEST_F(GoalsTest, AreNotMeasuredByQuickRunsOrByNothing) {
  Json quick = row("SFT", {{"work", "training"}, {"mfu_data_sheet", 0.9}, {"quick", true}});
  EXPECT_EQ(goal({{kStepsSection, {quick}}}, "MFU")["outcome"], "not measured");
  EXPECT_EQ(goal(Json::object(), "batch 1:")["outcome"], "not measured");
}

}  // namespace
}  // namespace r1::gpu
