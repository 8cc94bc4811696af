#include "data/open_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "data/data_files.h"
#include "io/parquet_file.h"
#include "tests/support/paths.h"

namespace r1::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

DatasetPtr open_path(const std::string& path, const std::string& split = "train") {
  return open_dataset({.name = path, .config = {}, .split = split});
}

// The error of opening a data set or of reading one of its rows.
std::string error_of(const std::string& path, const std::string& split = "train", ErrorKind kind = ErrorKind::kData) {
  try {
    const DatasetPtr dataset = open_path(path, split);
    for (std::int64_t i = 0; i < dataset->num_rows(); ++i) dataset->row(i);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  ADD_FAILURE() << path << " was read";
  return {};
}

class OpenDataset : public testing::Test {
 protected:
  test::TemporaryFolder folder_;
};

TEST_F(OpenDataset, JsonlKeepsTypesAndNestingAndSkipsBlankLines) {
  const std::string path =
      folder_.write("a.jsonl",
                    "\xEF\xBB\xBF{\"text\": \"a\\u00e9\\n\", \"n\": 3, \"x\": 0.5, \"ok\": true}\r\n\n  \n"
                    "{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}], \"none\": null, \"big\": 123456789012345678901}");
  const DatasetPtr dataset = open_path(path);
  ASSERT_EQ(dataset->num_rows(), 2);
  EXPECT_THAT(dataset->column_names(), ElementsAre("text", "n", "x", "ok", "messages", "none", "big"));
  EXPECT_EQ(dataset->row(0).at("text"), "aé\n");
  EXPECT_EQ(dataset->row(0).at("n"), 3);
  EXPECT_EQ(dataset->row(1).at("messages")[0].at("content"), "hi");
  EXPECT_DOUBLE_EQ(dataset->row(1).at("big").get<double>(), 123456789012345678901.0);
  EXPECT_EQ(dataset->where(1), path + ":4");
}

TEST_F(OpenDataset, BrokenJsonlLinesNameFileLineAndColumn) {
  const std::string good = "{\"text\": \"x\"}\n";
  const auto error = [&](const std::string& line) { return error_of(folder_.write("b.jsonl", good + line + "\n" + good)); };
  EXPECT_THAT(error("{\"text\": \"x\""), HasSubstr("b.jsonl:2:1"));
  EXPECT_THAT(error("{\"text\": x}"), HasSubstr("b.jsonl:2:10: not valid JSON"));
  EXPECT_THAT(error("{\"text\": \"\xFF\"}"), HasSubstr("b.jsonl:2:11: invalid UTF-8 (byte 0xFF)"));
  EXPECT_THAT(error(std::string("{\"text\": \"a\0b\"}", 15)), HasSubstr("b.jsonl:2:12: not valid JSON"));
  EXPECT_THAT(error("{\"a\": 1, \"a\": 2}"), HasSubstr("b.jsonl:2: the key 'a' stands twice"));
  EXPECT_THAT(error("[1]"), HasSubstr("b.jsonl:2: expected one JSON object per line"));
  EXPECT_THAT(error("{\"a\": " + std::string(100, '[') + std::string(100, ']') + "}"), HasSubstr("b.jsonl:2:70: JSON nested deeper"));
  EXPECT_THAT(error_of(folder_.write("empty.jsonl", "\n\n")), HasSubstr("expected at least one row"));
}

TEST_F(OpenDataset, JsonIsAListOrLines) {
  const DatasetPtr list = open_path(folder_.write("l.json", " [\n{\"a\": 1}, {\"a\": 2}]"));
  EXPECT_EQ(list->num_rows(), 2);
  EXPECT_EQ(list->row(1).at("a"), 2);
  EXPECT_EQ(open_path(folder_.write("m.json", "{\"a\": 1}\n{\"a\": 2}\n{\"a\": 3}\n"))->num_rows(), 3);
  EXPECT_THAT(error_of(folder_.write("n.json", "[{\"a\": 1},\n 3]")), HasSubstr("element 1 of the list"));
  EXPECT_THAT(error_of(folder_.write("o.json", "[{\"a\": 1},\n {]")), HasSubstr("o.json:2:3"));
}

TEST_F(OpenDataset, CsvReadsQuotesNewlinesAndTypes) {
  const std::string path = folder_.write("a.csv",
                                         "id,name,score,answer,note\r\n1,\"Smith, \"\"J\"\"\nline two\",0.5,025,\r\n"
                                         "2,plain,1e3,7,\"\"\r\n");
  const DatasetPtr dataset = open_path(path);
  ASSERT_EQ(dataset->num_rows(), 2);
  EXPECT_EQ(dataset->row(0), Json::parse(R"({"id": 1, "name": "Smith, \"J\"\nline two", "score": 0.5, "answer": "025", "note": null})"));
  EXPECT_EQ(dataset->row(1), Json::parse(R"({"id": 2, "name": "plain", "score": 1000.0, "answer": "7", "note": ""})"));
  EXPECT_EQ(dataset->where(1), path + ":4");
}

TEST_F(OpenDataset, BrokenCsvNamesTheLine) {
  EXPECT_THAT(error_of(folder_.write("a.csv", "a,b\n1,2\n3\n")), HasSubstr("a.csv:3: expected 2 fields (a, b), found 1"));
  EXPECT_THAT(error_of(folder_.write("b.csv", "a,b\n1,\"2\n3\n")), HasSubstr("b.csv:2: a quoted field that begins here is never closed"));
  EXPECT_THAT(error_of(folder_.write("c.csv", "a,b\n\"1\"x,2\n")), HasSubstr("c.csv:2: expected a comma"));
  EXPECT_THAT(error_of(folder_.write("d.csv", "a,a\n1,2\n")), HasSubstr("d.csv:1: the column name 'a' stands twice"));
  EXPECT_THAT(error_of(folder_.write("e.csv", "a\nx\n\xC0\n")), HasSubstr("e.csv:3: invalid UTF-8 (byte 0xC0)"));
  EXPECT_THAT(error_of(folder_.write("f.csv", "")), HasSubstr("found an empty file"));
}

TEST_F(OpenDataset, FoldersAreSplitByTheNamesOfTheirFiles) {
  folder_.write("d/train-00001-of-00002.jsonl", "{\"a\": 3}\n");
  folder_.write("d/train-00000-of-00002.jsonl", "{\"a\": 1}\n{\"a\": 2}\n");
  folder_.write("d/test.csv", "a\n9\n");
  folder_.write("d/dataset_infos.json", "{}");
  folder_.write("d/_journal/job.json", "{\"not\": \"rows\"}");
  folder_.write("d/README.md", "words");
  EXPECT_THAT(dataset_splits(folder_.file("d")), ElementsAre("train", "test"));
  const DatasetPtr train = open_path(folder_.file("d"));
  ASSERT_EQ(train->num_rows(), 3);
  EXPECT_EQ(train->row(2).at("a"), 3);
  EXPECT_EQ(open_path(folder_.file("d"), "test")->row(0).at("a"), 9);
  EXPECT_THAT(error_of(folder_.file("d"), "validation"), HasSubstr("the splits are: test, train"));
}

TEST_F(OpenDataset, ConfigurationsAreSubFoldersAndPatternsAreExpanded) {
  folder_.write("d/all/part-0.jsonl", "{\"a\": 1}\n");
  folder_.write("d/extra/part-0.jsonl", "{\"a\": 2}\n{\"a\": 3}\n");
  EXPECT_EQ(open_dataset({.name = folder_.file("d"), .config = "extra", .split = "train"})->num_rows(), 2);
  EXPECT_EQ(open_path(folder_.file("d/*/part-?.jsonl"))->num_rows(), 3);
  EXPECT_THAT(error_of(folder_.file("d/*.csv")), HasSubstr("no data file"));
  try {
    open_dataset({.name = folder_.file("d"), .config = "everything", .split = "train"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("there are: all, extra"));
  }
}

TEST_F(OpenDataset, TheCardOfAHubDatasetNamesItsConfigurations) {
  const std::string card =
      "---\nlicense: mit\nconfigs:\n- config_name: all\n  data_files:\n  - split: train\n    path: all/train-*\n"
      "- config_name: default\n  data_files:\n  - split: train\n    path:\n    - data/train-*\n    - \"more/**/x-*.jsonl\"\n"
      "  - split: held_out\n    path: data/held-*\ndataset_info:\n- config_name: ignored\n---\n# words: more\n";
  folder_.write("d/README.md", card);
  folder_.write("d/all/train-0.jsonl", "{\"a\": 1}\n");
  folder_.write("d/data/train-0.jsonl", "{\"a\": 2}\n{\"a\": 3}\n");
  folder_.write("d/data/held-0.jsonl", "{\"a\": 4}\n");
  folder_.write("d/more/deep/x-0.jsonl", "{\"a\": 5}\n");
  EXPECT_EQ(open_path(folder_.file("d"))->num_rows(), 3);
  EXPECT_EQ(open_path(folder_.file("d"), "held_out")->row(0).at("a"), 4);
  EXPECT_EQ(open_dataset({.name = folder_.file("d"), .config = "all", .split = "train"})->row(0).at("a"), 1);
  try {
    open_dataset({.name = folder_.file("d"), .config = "none", .split = "train"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("there are: all, default"));
  }
  folder_.write("e/README.md", "---\nconfigs:\n- config_name: x\n  data_files: ../secret/*\n---\n");
  EXPECT_THAT(error_of(folder_.file("e")), HasSubstr("README.md:4: expected a file pattern inside the folder"));
}

TEST_F(OpenDataset, SplitsCanBeSliced) {
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += "{\"a\": " + std::to_string(i) + "}\n";
  const std::string path = folder_.write("t.jsonl", lines);
  EXPECT_EQ(open_path(path, "train[:3]")->num_rows(), 3);
  EXPECT_EQ(open_path(path, "train[-2:]")->row(0).at("a"), 8);
  EXPECT_EQ(open_path(path, "train[50%:70%]")->row(1).at("a"), 6);
  EXPECT_THAT(error_of(path, "train[x:3]", ErrorKind::kUsage), HasSubstr("found 'x'"));
  EXPECT_THAT(error_of(path, "train[5:5]"), HasSubstr("expected at least one row"));
}

TEST_F(OpenDataset, MissingAndUnknownFilesAreDataErrors) {
  EXPECT_THAT(error_of(folder_.file("none.jsonl")), HasSubstr("was not found"));
  EXPECT_THAT(error_of(folder_.write("x.txt", "a")), HasSubstr("expected a data file of a known kind (.jsonl"));
  folder_.write("arrow/data-00000-of-00001.arrow", "ARROW1");
  EXPECT_THAT(error_of(folder_.file("arrow")), HasSubstr("save_to_disk"));
}

TEST_F(OpenDataset, AMissingColumnIsReportedWithTheNearestName) {
  const DatasetPtr dataset = open_path(folder_.write("c.jsonl", "{\"problem\": \"x\", \"answer\": 1}\n"));
  try {
    require_column(*dataset, "c.jsonl", "problems", "for the prompt");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("expected a column 'problems' for the prompt; the columns are problem, answer; the nearest name is 'problem'"));
  }
}

TEST_F(OpenDataset, ViewsSelectRowsAndColumns) {
  const DatasetPtr dataset = open_path(folder_.write("v.jsonl", "{\"a\": 1, \"b\": 2}\n{\"a\": 3, \"b\": 4}\n"));
  const DatasetPtr view = select_columns(select_rows(dataset, {1, 0, 1}), {"b"}, "v");
  ASSERT_EQ(view->num_rows(), 3);
  EXPECT_EQ(view->row(0), Json::parse("{\"b\": 4}"));
  const DatasetPtr both = concatenate({view, dataset});
  EXPECT_EQ(both->num_rows(), 5);
  EXPECT_EQ(both->row(3).at("a"), 1);
  EXPECT_THAT(both->where(4), HasSubstr("v.jsonl:2"));
  EXPECT_NE(view->content_hash(), dataset->content_hash());
}

TEST(DataFiles, SplitIsAWordOfThePath) {
  EXPECT_EQ(split_of_path("data/train-00000.parquet"), "train");
  EXPECT_EQ(split_of_path("my_validation_set.csv"), "validation");
  EXPECT_EQ(split_of_path("Test/part-1.jsonl"), "test");
  EXPECT_EQ(split_of_path("trained.jsonl"), std::nullopt);
  EXPECT_EQ(split_of_path("latest.jsonl"), std::nullopt);
}

TEST(DataFiles, ReadsTheTextFilesOfTheGroundTruth) {
  R1_REQUIRE_SHARED(shared);
  EXPECT_EQ(open_path(shared + "/data/sft/math_think_wrapped_2k.jsonl")->num_rows(), 2000);
  EXPECT_EQ(open_path(shared + "/data/sft/marco_o1_cot_demo.json")->num_rows(), 125);
  EXPECT_EQ(open_path(shared + "/data/bench/math500/test.jsonl")->row(499).at("answer").is_string(), true);
}

TEST(DataFiles, ParquetRowsEqualThoseOfTheSameJsonl) {
  R1_REQUIRE_SHARED(shared);
  if (!io::parquet_available()) GTEST_SKIP() << "needs libr1_parquet.so: tools/install_arrow.sh, then configure again";
  const DatasetPtr parquet = open_path(shared + "/data/rl/math_lvl3to5.parquet"), jsonl = open_path(shared + "/data/rl/math_lvl3to5.jsonl");
  ASSERT_EQ(parquet->num_rows(), jsonl->num_rows());
  EXPECT_EQ(parquet->column_names(), jsonl->column_names());
  for (std::int64_t i = 0; i < parquet->num_rows(); i += 37) EXPECT_EQ(parquet->row(i).at("problem"), jsonl->row(i).at("problem"));
  const DatasetPtr nested = open_path(shared + "/data/rl/math_lvl3to5_prompt_nested_2k.parquet");
  EXPECT_EQ(nested->num_rows(), 2048);
  EXPECT_TRUE(nested->row(2047).at("prompt")[0].at("content").is_string());
}

}  // namespace
}  // namespace r1::data
