#include "hub/resolve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "tests/support/paths.h"

namespace r1::hub {
namespace {

using testing::HasSubstr;

class Resolve : public testing::Test {
 protected:
  Resolve() {
    for (const char* name : {"R1_MODELS", "R1_DATA", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) ::unsetenv(name);
    ::setenv("HF_HOME", folder_.file("hf").c_str(), 1);
  }
  std::string error_of(Repository kind, const std::string& name, const std::string& revision = "main") {
    try {
      resolve(kind, name, revision);
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.kind()), 3);
      return error.what();
    }
    ADD_FAILURE() << name << " was found";
    return {};
  }
  test::TemporaryFolder folder_;
};

TEST_F(Resolve, TakesALocalPathAsItStands) {
  const std::string path = folder_.write("model/config.json", "{}");
  EXPECT_EQ(resolve(Repository::kModel, folder_.file("model")), folder_.file("model"));
  EXPECT_EQ(resolve(Repository::kDataset, path), path);
}

TEST_F(Resolve, SearchesTheFoldersOfTheEnvironmentInOrder) {
  folder_.write("second/org/name/config.json", "{}");
  ::setenv("R1_MODELS", (folder_.file("first") + ":" + folder_.file("second")).c_str(), 1);
  EXPECT_EQ(resolve(Repository::kModel, "org/name"), folder_.file("second") + "/org/name");
  folder_.write("first/org/name/config.json", "{}");
  EXPECT_EQ(resolve(Repository::kModel, "org/name"), folder_.file("first") + "/org/name");
  EXPECT_THAT(error_of(Repository::kDataset, "org/name"), HasSubstr("R1_DATA is not set"));
}

TEST_F(Resolve, ReadsTheHuggingFaceCacheByBranchTagAndCommit) {
  folder_.write("hf/hub/models--org--name/refs/main", "0123abcd\n");
  folder_.write("hf/hub/models--org--name/snapshots/0123abcd/config.json", "{}");
  folder_.write("hf/hub/models--org--name/snapshots/ffff/config.json", "{}");
  const std::string snapshots = folder_.file("hf/hub/models--org--name/snapshots/");
  EXPECT_EQ(resolve(Repository::kModel, "org/name"), snapshots + "0123abcd");
  EXPECT_EQ(resolve(Repository::kModel, "org/name", "ffff"), snapshots + "ffff");
  EXPECT_THAT(error_of(Repository::kModel, "org/name", "v2"), HasSubstr("--revision v2"));
  EXPECT_FALSE(find_local(Repository::kDataset, "org/name").has_value()) << "a model of that name is no data set";
}

TEST_F(Resolve, AMissingNameIsAnErrorWithTheCommandThatFetchesIt) {
  EXPECT_THAT(error_of(Repository::kModel, "org/name"), HasSubstr("r1_inspect download org/name"));
  EXPECT_THAT(error_of(Repository::kDataset, "org/name"), HasSubstr("r1_inspect download org/name --dataset"));
  EXPECT_THAT(error_of(Repository::kDataset, "data/missing/train.jsonl"), testing::Not(HasSubstr("download")));
}

TEST_F(Resolve, ARefThatPointsElsewhereIsRefused) {
  folder_.write("hf/hub/models--org--name/refs/main", "../../outside");
  EXPECT_THAT(error_of(Repository::kModel, "org/name"), HasSubstr("expected a commit"));
}

}  // namespace
}  // namespace r1::hub
