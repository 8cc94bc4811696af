#include "data/mixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/error.h"
#include "base/json.h"
#include "tests/support/paths.h"

namespace r1::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Mixture : public testing::Test {
 protected:
  Mixture() {
    std::string a, b;
    for (int i = 0; i < 10; ++i) a += Json{{"text", "a" + std::to_string(i)}, {"extra", i}}.dump() + "\n";
    for (int i = 0; i < 6; ++i) b += Json{{"other", i}, {"text", "b" + std::to_string(i)}}.dump() + "\n";
    a_ = folder_.write("a.jsonl", a);
    b_ = folder_.write("b.jsonl", b);
  }
  static MixturePart part(const std::string& path, double weight = 1.0, std::vector<std::string> columns = {}) {
    return {.request = {.name = path, .config = {}, .split = "train"}, .columns = std::move(columns), .weight = weight};
  }
  static std::vector<std::string> texts(const DatasetPtr& dataset) {
    std::vector<std::string> all;
    for (std::int64_t i = 0; i < dataset->num_rows(); ++i) all.push_back(dataset->row(i).at("text").get<std::string>());
    return all;
  }
  std::string error_of(const MixtureRequest& request) {
    try {
      open_mixture(request);
    } catch (const Error& error) {
      return error.what();
    }
    ADD_FAILURE() << "the mixture was opened";
    return {};
  }
  test::TemporaryFolder folder_;
  std::string a_, b_;
};

TEST_F(Mixture, KeepsTheGivenShareOfEachPartShuffled) {
  const MixtureSplits mixture = open_mixture({.parts = {part(a_, 0.55), part(b_)}, .seed = 3, .test_split_size = {}});
  EXPECT_EQ(mixture.test, nullptr);
  EXPECT_EQ(mixture.train->num_rows(), 5 + 6);
  EXPECT_THAT(mixture.train->column_names(), ElementsAre("text")) << "what both parts have";
  const auto rows = texts(mixture.train);
  EXPECT_EQ(std::set(rows.begin(), rows.end()).size(), 11u);
  EXPECT_NE(texts(open_mixture({.parts = {part(a_, 0.55), part(b_)}, .seed = 4, .test_split_size = {}}).train), rows);
  EXPECT_EQ(texts(open_mixture({.parts = {part(a_, 0.55), part(b_)}, .seed = 3, .test_split_size = {}}).train), rows);
}

TEST_F(Mixture, TestAndTrainAreDisjointAndTogetherAll) {
  for (const auto& [size, expected] : {std::pair(0.3, 5), std::pair(4.0, 4)}) {
    const MixtureSplits mixture = open_mixture({.parts = {part(a_), part(b_)}, .seed = 0, .test_split_size = size});
    EXPECT_EQ(mixture.test->num_rows(), expected);
    auto rows = texts(mixture.train);
    const auto test = texts(mixture.test);
    rows.insert(rows.end(), test.begin(), test.end());
    EXPECT_EQ(std::set(rows.begin(), rows.end()).size(), 16u);
  }
}

TEST_F(Mixture, WrongMixturesSayWhatIsWrong) {
  EXPECT_THAT(error_of({.parts = {part(a_, 1, {"text"}), part(b_, 1, {"other"})}, .seed = 0, .test_split_size = {}}),
              HasSubstr("expected the same columns in every part, found text for " + a_ + " and other for " + b_));
  EXPECT_THAT(error_of({.parts = {part(a_, 1, {"txt"})}, .seed = 0, .test_split_size = {}}), HasSubstr("the nearest name is 'text'"));
  EXPECT_THAT(error_of({.parts = {part(a_, 1.5)}, .seed = 0, .test_split_size = {}}), HasSubstr("found 1.5"));
  EXPECT_THAT(error_of({.parts = {part(a_, 0.01)}, .seed = 0, .test_split_size = {}}), HasSubstr("leaves none"));
  EXPECT_THAT(error_of({.parts = {part(a_)}, .seed = 0, .test_split_size = 10.0}), HasSubstr("number of rows below 10, found 10"));
  EXPECT_THAT(error_of({.parts = {part(a_), part(folder_.write("c.jsonl", "{\"x\": 1}\n"))}, .seed = 0, .test_split_size = {}}),
              HasSubstr("at least one column that all parts have"));
}

}  // namespace
}  // namespace r1::data
