#include "report/metrics.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "tests/support/paths.h"

namespace r1::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines = split(read_file(path), '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

MetricRow row(double loss) {
  MetricRow values;
  values.set("loss", loss);
  values.set("num_tokens", std::int64_t{1} << 40);
  return values;
}

std::vector<std::string> files_beginning_with(const std::string& folder, const std::string& prefix) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path().string());
  }
  return found;
}

TEST(MetricsSink, WritesOneObjectPerStepThatIsThereBeforeTheRunEnds) {
  const test::TemporaryFolder folder;
  MetricsSink sink({.output_dir = folder.file("run"), .tensorboard = false});
  sink.log(1, 0.5, row(2.25));
  EXPECT_THAT(lines_of(folder.file("run/metrics.jsonl")), ElementsAre(R"({"step":1,"epoch":0.5,"loss":2.25,"num_tokens":1099511627776})"));
  sink.log(2, 1.0, row(2));
  EXPECT_EQ(lines_of(folder.file("run/metrics.jsonl")).size(), 2);
  ASSERT_EQ(sink.history().size(), 2);
  EXPECT_EQ(sink.history()[1].values.number("loss"), 2);
}

TEST(MetricsSink, WritesNullForWhatJsonCannotHold) {
  const test::TemporaryFolder folder;
  MetricsSink sink({.output_dir = folder.path(), .tensorboard = false});
  MetricRow values;
  values.set("loss", std::nan(""));
  values.set("grad_norm", INFINITY);
  values.set("note", "bad \xff byte");
  sink.log(1, 0, values);
  const std::string line = lines_of(folder.file("metrics.jsonl"))[0];
  EXPECT_THAT(line, HasSubstr(R"("loss":null,"grad_norm":null)"));
  EXPECT_EQ(first_invalid_utf8(line), std::nullopt);
}

TEST(MetricsSink, ReplacesTheFileOfAnEarlierRunUnlessItResumes) {
  const test::TemporaryFolder folder;
  folder.write("metrics.jsonl", "{\"step\":1,\"epoch\":0.1,\"loss\":3.0}\n");
  MetricsSink sink({.output_dir = folder.path(), .tensorboard = false});
  EXPECT_TRUE(sink.history().empty());
  EXPECT_TRUE(lines_of(folder.file("metrics.jsonl")).empty());
}

TEST(MetricsSink, ResumesAfterTheCheckpointAndKeepsTheLostRowsApart) {
  const test::TemporaryFolder folder;
  folder.write("metrics.jsonl",
               "{\"step\":1,\"epoch\":0.1,\"loss\":3.0}\n{\"step\":2,\"epoch\":0.2,\"loss\":2.0,\"done\":true}\n"
               "{\"step\":3,\"epoch\":0.3,\"loss\":1.0}\n{\"step\":4,\"ep");
  MetricsSink sink({.output_dir = folder.path(), .tensorboard = false, .resumed_from_step = 2});
  ASSERT_EQ(sink.history().size(), 2);
  EXPECT_EQ(sink.history()[1].step, 2);
  EXPECT_EQ(sink.history()[1].epoch, 0.2);
  EXPECT_EQ(sink.history()[1].values.number("done"), 1);
  sink.log(3, 0.3, row(1.5));
  EXPECT_EQ(lines_of(folder.file("metrics.jsonl")).size(), 3);
  const std::vector<std::string> lost = files_beginning_with(folder.path(), "metrics.jsonl.lost-");
  ASSERT_EQ(lost.size(), 1);
  EXPECT_THAT(lines_of(lost[0]), ElementsAre("{\"step\":3,\"epoch\":0.3,\"loss\":1.0}", "{\"step\":4,\"ep"));
}

TEST(MetricsSink, NamesTheLineOfAFileThatItCannotContinue) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("metrics.jsonl", "{\"step\":1}\n{\"loss\":1}\n");
  try {
    MetricsSink sink({.output_dir = folder.path(), .tensorboard = false, .resumed_from_step = 5});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), HasSubstr(path + ":2: expected an object with an integer \"step\""));
  }
}

TEST(MetricsSink, SaysThatTheFolderCannotBeWritten) {
  const test::TemporaryFolder folder;
  const std::string in_the_way = folder.write("run", "a file");
  try {
    MetricsSink sink({.output_dir = in_the_way});
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDisk);
    EXPECT_THAT(error.what(), HasSubstr(in_the_way));
  }
}

TEST(MetricsSink, ReportsAFullDisk) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  const test::TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder.file("metrics.jsonl"));
  MetricsSink sink({.output_dir = folder.path(), .tensorboard = false});
  EXPECT_THROW(sink.log(1, 0, row(1)), Error);
}

TEST(MetricRow, KeepsTheOrderAndReplacesInPlace) {
  MetricRow values;
  values.set("b", 1);
  values.set("a", true);
  values.set("c", std::optional<double>());
  values.set("b", 2.5F);
  values.set("name", "text");
  ASSERT_EQ(values.values().size(), 3);
  EXPECT_EQ(values.values()[0].first, "b");
  EXPECT_EQ(values.number("b"), 2.5);
  EXPECT_EQ(values.number("a"), 1);
  EXPECT_EQ(values.number("name"), std::nullopt);
  EXPECT_EQ(values.number("absent"), std::nullopt);
}

TEST(CutRowsAfterStep, LeavesAFileWithoutLaterRowsUntouched) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("rows.jsonl", "{\"step\":1}\n{\"step\":2}\n");
  EXPECT_EQ(cut_rows_after_step(path, 2), 0);
  EXPECT_TRUE(files_beginning_with(folder.path(), "rows.jsonl.lost-").empty());
  EXPECT_EQ(cut_rows_after_step(folder.file("absent.jsonl"), 2), 0);
  EXPECT_EQ(cut_rows_after_step(path, 0), 2);
  EXPECT_EQ(read_file(path), "");
}

}  // namespace
}  // namespace r1::report
