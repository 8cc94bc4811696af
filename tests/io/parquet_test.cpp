#include "io/parquet_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/rng.h"
#include "io/parquet_schema.h"
#include "tests/support/paths.h"

namespace r1::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

#define R1_REQUIRE_PARQUET() \
  if (!parquet_available()) GTEST_SKIP() << "needs libr1_parquet.so: tools/install_arrow.sh, then configure again"

std::vector<Json> sample_rows() {
  return {
      Json::parse(
          R"({"id": 1, "text": "a \"quoted\" é\n", "score": 0.1, "ok": true, "messages": [{"role": "user", "content": "hi"}], "tags": []})"),
      Json::parse(R"({"id": -9223372036854775808, "text": null, "score": 3.0, "ok": false, "messages": [], "tags": [[1, 2], [], null]})"),
      Json::parse(R"({"id": 3, "text": "", "score": 1e-300, "ok": null, "messages": null, "tags": null})")};
}

std::string error_of(const std::string& path) {
  try {
    const ParquetFile file(path);
    for (std::int64_t group = 0; group < file.num_row_groups(); ++group) file.read_row_group(group);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.what(), HasSubstr(path));
    return error.what();
  }
  return "read";
}

TEST(Parquet, GivesBackNestedRowsAsTheyWereWritten) {
  R1_REQUIRE_PARQUET();
  const test::TemporaryFolder folder;
  const auto rows = sample_rows();
  write_parquet(folder.file("a.parquet"), rows, /*row_group_rows=*/2);
  const ParquetFile file(folder.file("a.parquet"));
  EXPECT_THAT(file.column_names(), ElementsAre("id", "text", "score", "ok", "messages", "tags"));
  ASSERT_EQ(file.num_row_groups(), 2);
  EXPECT_EQ(file.row_group_rows(1), 1);
  std::vector<Json> read;
  for (std::int64_t group = 0; group < 2; ++group) {
    for (const std::string& row : file.read_row_group(group)) read.push_back(Json::parse(row));
  }
  EXPECT_EQ(read, rows);
}

TEST(Parquet, WritesTheSameBytesEveryTime) {
  R1_REQUIRE_PARQUET();
  const test::TemporaryFolder folder;
  write_parquet(folder.file("a"), sample_rows());
  write_parquet(folder.file("b"), sample_rows());
  EXPECT_EQ(read_file(folder.file("a")), read_file(folder.file("b")));
}

TEST(Parquet, AFileWithoutRowsKeepsItsColumns) {
  R1_REQUIRE_PARQUET();
  const test::TemporaryFolder folder;
  write_parquet(folder.file("a.parquet"), {}, {.schema = Json::parse(R"({"x": "string"})"), .metadata = {}});
  const ParquetFile file(folder.file("a.parquet"));
  EXPECT_THAT(file.column_names(), ElementsAre("x"));
  EXPECT_EQ(file.num_row_groups(), 0);
}

TEST(Parquet, ReadsTheFilesOfTheGroundTruth) {
  R1_REQUIRE_SHARED(shared);
  R1_REQUIRE_PARQUET();
  const ParquetFile sft(shared + "/data/sft/math_think_wrapped_2k.parquet");
  EXPECT_EQ(sft.num_row_groups(), 2);
  std::size_t rows = 0;
  std::string jsonl = read_file(shared + "/data/sft/math_think_wrapped_2k.jsonl");
  std::size_t begin = 0;
  for (std::int64_t group = 0; group < 2; ++group) {
    for (const std::string& row : sft.read_row_group(group)) {
      const std::size_t end = jsonl.find('\n', begin);
      ASSERT_EQ(Json::parse(row), Json::parse(jsonl.substr(begin, end - begin)));
      begin = end + 1;
      ++rows;
    }
  }
  EXPECT_EQ(rows, 2000u);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(shared + "/data")) {
    if (entry.path().extension() == ".parquet") {
      EXPECT_EQ(error_of(entry.path().string()), "read");
    }
  }
}

TEST(Parquet, BrokenFilesAreRefusedWithTheirName) {
  R1_REQUIRE_PARQUET();
  const test::TemporaryFolder folder;
  EXPECT_THAT(error_of(folder.write("a.parquet", "hello")), HasSubstr("begins and ends with PAR1"));
  write_parquet(folder.file("b.parquet"), sample_rows());
  const std::string whole = read_file(folder.file("b.parquet"));
  EXPECT_THAT(error_of(folder.write("c.parquet", whole.substr(0, whole.size() - 20))), HasSubstr("PAR1"));
  EXPECT_THAT(error_of(folder.write("d.parquet", whole.substr(0, 200) + "PAR1")), HasSubstr("not a readable Parquet file"));
  RandomStream random(3, "parquet damage");
  for (int i = 0; i < 300; ++i) {
    std::string mutant = whole;
    for (int flips = 0; flips < 4; ++flips) mutant[random.below(mutant.size())] ^= static_cast<char>(1 << random.below(8));
    error_of(folder.write("e.parquet", mutant));  // read or refused, never a crash
  }
}

TEST(Parquet, AValueThatDoesNotFitLeavesNoFile) {
  R1_REQUIRE_PARQUET();
  const test::TemporaryFolder folder;
  const std::vector<Json> rows = {Json::parse(R"({"x": "text"})")};
  EXPECT_THROW(write_parquet(folder.file("a.parquet"), rows, {.schema = Json::parse(R"({"x": "int64"})"), .metadata = {}}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ParquetSchema, WidensTypesOverRows) {
  const std::vector<Json> rows = {Json::parse(R"({"a": 1, "b": null, "c": {"x": 1}})"),
                                  Json::parse(R"({"a": 0.5, "b": [], "c": {"y": "t"}})"), Json::parse(R"({"b": ["s"], "d": {}})")};
  EXPECT_EQ(infer_parquet_schema(rows),
            Json::parse(R"({"a": "double", "b": {"list": "string"}, "c": {"struct": {"x": "int64", "y": "string"}}, "d": "null"})"));
}

TEST(ParquetSchema, NamesTheColumnOfAConflict) {
  const std::vector<Json> rows = {Json::parse(R"({"m": [{"v": 1}]})"), Json::parse(R"({"m": [{"v": "x"}]})")};
  try {
    infer_parquet_schema(rows);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'m[].v'"));
  }
}

}  // namespace
}  // namespace r1::io
