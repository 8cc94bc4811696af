// r1_inspect dataset and download, as a user types them; the hub is a server of the test's own on the loopback interface.
#include <gmock/gmock.h>

#include "base/files.h"
#include "base/json.h"
#include "tests/hub/loopback_server.h"
#include "tests/support/paths.h"
#include "tests/support/run_program.h"

namespace r1 {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kRows = R"({"prompt": "1+1=", "messages": [{"role": "user", "content": "1+1="}], "level": 1}
{"prompt": "2+2=", "messages": [], "level": "hard"}
)";

// git hash-object of kRows
constexpr const char* kRowsHash = "c69162c9c7c598d979635bf457aec7139ee09207";

class InspectData : public ::testing::Test {
 protected:
  test::ProgramResult inspect(const std::vector<std::string>& arguments, std::map<std::string, std::string> env = {}) const {
    env.insert({{"HF_HOME", folder_.file("hf")}, {"R1_DATA", ""}, {"HF_TOKEN", ""}, {"http_proxy", ""}, {"all_proxy", ""}});
    return test::run_program(R1_BIN_DIR "/r1_inspect", arguments, "", env);
  }

  test::TemporaryFolder folder_;
};

TEST_F(InspectData, ShowsColumnsTypesAndTheFirstRowsOfAFile) {
  const auto done = inspect({"dataset", folder_.write("rows.jsonl", kRows), "--head", "1"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("rows       2 in train\n"));
  EXPECT_THAT(done.out, HasSubstr("column     prompt    string\n"));
  EXPECT_THAT(done.out, HasSubstr("column     messages  list of struct{role: string, content: string}\n"));
  EXPECT_THAT(done.out, HasSubstr("column     level     mixed\n"));
  EXPECT_THAT(done.out, EndsWith(R"({"prompt":"1+1=","messages":[{"role":"user","content":"1+1="}],"level":1})"
                                 "\n"));
}

TEST_F(InspectData, ShowsASliceOfABuiltInTask) {
  const auto done = inspect({"dataset", "builtin/chain:rows=40", "--split", "train[:7]", "--head", "0"});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("splits     train, test\nrows       7 in train[:7]\n"));
}

TEST_F(InspectData, SaysWhereItLookedForADataSetThatIsNowhere) {
  const auto done = inspect({"dataset", "nobody/nothing"});
  EXPECT_EQ(done.exit_code, 3);
  EXPECT_THAT(done.err, HasSubstr("'nobody/nothing' was not found"));
  EXPECT_THAT(done.err, HasSubstr("r1_inspect download nobody/nothing --dataset"));
}

TEST_F(InspectData, ReadsByNameWhatDownloadFetched) {
  const std::string commit(40, 'c');
  const Json info = {
      {"sha", commit},
      {"siblings", {{{"rfilename", "train.jsonl"}, {"blobId", std::string(40, 'b')}, {"size", kRows.size()}}}},
  };
  Json right = info;
  right["siblings"][0]["blobId"] = kRowsHash;
  const Json* offered = &info;
  test::LoopbackServer server([&](const test::ServerRequest& request) {
    if (request.path.starts_with("/api/datasets/team/rows/"))
      return test::ServerAnswer{.status = 200, .body = offered->dump(), .location = {}, .cut_after = -1};
    if (request.path.ends_with("/train.jsonl")) return test::ServerAnswer{.status = 200, .body = kRows, .location = {}, .cut_after = -1};
    return test::ServerAnswer{.status = 404, .body = "nothing", .location = {}, .cut_after = -1};
  });

  const auto damaged = inspect({"download", "team/rows", "--dataset"}, {{"HF_ENDPOINT", server.url()}});
  EXPECT_NE(damaged.exit_code, 0);
  EXPECT_THAT(damaged.err, HasSubstr("train.jsonl"));
  EXPECT_EQ(inspect({"dataset", "team/rows"}).exit_code, 3) << "a file with the wrong hash must not be there to read";

  offered = &right;
  const auto fetched = inspect({"download", "team/rows", "--dataset"}, {{"HF_ENDPOINT", server.url()}});
  ASSERT_EQ(fetched.exit_code, 0) << fetched.err;
  EXPECT_THAT(fetched.out, StartsWith(folder_.file("hf")));
  const auto shown = inspect({"dataset", "team/rows", "--head", "0"});
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("rows       2 in train\n"));
}

}  // namespace
}  // namespace r1
