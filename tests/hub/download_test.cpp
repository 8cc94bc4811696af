// Only ever talks to a server of its own on the loopback interface.
#include "hub/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "tests/hub/loopback_server.h"
#include "tests/support/paths.h"

namespace r1::hub {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";
// git hash-object of the text "{}\n"
constexpr const char* kConfigHash = "0967ef424bce6791893e9a57bb952f80fd536e93";

class Download : public testing::Test {
 protected:
  Download() : weights_(200'000, 'w') {
    for (const char* name : {"HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "R1_MODELS", "R1_DATA", "http_proxy",
                             "all_proxy", "ALL_PROXY"}) {
      ::unsetenv(name);
    }
    ::setenv("HF_HOME", folder_.file("hf").c_str(), 1);
    for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i] = static_cast<char>('a' + i % 23);
    info_ = {{"sha", kCommit},
             {"siblings",
              {{{"rfilename", "config.json"}, {"blobId", kConfigHash}, {"size", 3}},
               {{"rfilename", "weights/model.safetensors"},
                {"blobId", std::string(40, 'a')},
                {"lfs", {{"sha256", to_hex(sha256(weights_))}, {"size", weights_.size()}}}},
               {{"rfilename", "pytorch_model.bin"}, {"blobId", std::string(40, 'b')}, {"size", 9}}}}};
    files_["config.json"] = "{}\n";
    files_["weights/model.safetensors"] = weights_;
  }

  test::ServerAnswer answer(const test::ServerRequest& request) {
    if (request.path.starts_with("/api/models/org/name/revision/main"))
      return {.status = 200, .body = info_.dump(), .location = {}, .cut_after = -1};
    const std::string prefix = std::string("/org/name/resolve/") + kCommit + "/";
    if (request.path.starts_with(prefix) && files_.contains(request.path.substr(prefix.size()))) {
      return {.status = 200, .body = files_.at(request.path.substr(prefix.size())), .location = {}, .cut_after = -1};
    }
    return {.status = 404, .body = "nothing", .location = {}, .cut_after = -1};
  }
  DownloadOptions options(const test::LoopbackServer& server) {
    DownloadOptions result;
    result.name = "org/name";
    result.endpoint = server.url();
    result.first_retry_seconds = 0.001;
    return result;
  }
  std::string error_of(const DownloadOptions& options) {
    try {
      download(options);
    } catch (const Error& error) {
      EXPECT_EQ(exit_code(error.kind()), 3);
      return error.what();
    }
    ADD_FAILURE() << "it was fetched";
    return {};
  }

  test::TemporaryFolder folder_;
  std::string weights_;
  Json info_;
  std::map<std::string, std::string> files_;
};

TEST_F(Download, FillsTheCacheThatResolveReads) {
  const test::LoopbackServer server([this](const auto& request) { return answer(request); });
  EXPECT_FALSE(find_local(Repository::kModel, "org/name"));
  const DownloadResult result = download(options(server));
  EXPECT_EQ(result.num_files, 2) << "the pickle is not fetched";
  EXPECT_EQ(resolve(Repository::kModel, "org/name"), result.folder);
  EXPECT_EQ(read_file(result.folder + "/config.json"), "{}\n");
  EXPECT_EQ(read_file(result.folder + "/weights/model.safetensors"), weights_);
  EXPECT_TRUE(fs::is_symlink(result.folder + "/weights/model.safetensors"));
  EXPECT_EQ(download(options(server)).num_fetched, 0) << "a second call fetches nothing";
}

TEST_F(Download, ACutTransferGoesOnWhereItStopped) {
  int tries = 0;
  const test::LoopbackServer server([&](const auto& request) {
    test::ServerAnswer reply = answer(request);
    if (request.path.ends_with(".safetensors") && ++tries < 3) reply.cut_after = 50'000;
    return reply;
  });
  const DownloadResult result = download(options(server));
  EXPECT_EQ(read_file(result.folder + "/weights/model.safetensors"), weights_);
  EXPECT_EQ(result.fetched_bytes, weights_.size() + 3) << "no byte came twice";
  std::vector<std::uint64_t> begins;
  for (const auto& request : server.requests()) {
    if (request.path.ends_with(".safetensors")) begins.push_back(request.range_begin);
  }
  EXPECT_THAT(begins, testing::ElementsAre(0, 50'000, 100'000));
}

TEST_F(Download, ALaterCallContinuesABrokenOne) {
  bool broken = true;
  const test::LoopbackServer server([&](const auto& request) {
    test::ServerAnswer reply = answer(request);
    if (broken && request.path.ends_with(".safetensors")) reply.cut_after = request.range_begin == 0 ? 70'000 : 0;
    return reply;
  });
  EXPECT_THAT(error_of(options(server)), HasSubstr("after 5 attempts"));
  EXPECT_FALSE(find_local(Repository::kModel, "org/name")) << "half a snapshot has no name";
  broken = false;
  const DownloadResult result = download(options(server));
  EXPECT_EQ(result.fetched_bytes, weights_.size() - 70'000);
  EXPECT_EQ(read_file(result.folder + "/weights/model.safetensors"), weights_);
}

TEST_F(Download, DamagedContentIsRefused) {
  files_["weights/model.safetensors"][1234] ^= 1;
  const test::LoopbackServer server([this](const auto& request) { return answer(request); });
  EXPECT_THAT(error_of(options(server)), HasSubstr("damaged on the way"));
  EXPECT_FALSE(find_local(Repository::kModel, "org/name"));
  files_["weights/model.safetensors"] = weights_;
  EXPECT_EQ(download(options(server)).num_files, 2);
}

TEST_F(Download, AServerErrorIsTriedAgain) {
  int tries = 0;
  const test::LoopbackServer server([&](const auto& request) {
    if (++tries % 2 == 1) return test::ServerAnswer{.status = 503, .body = "busy", .location = {}, .cut_after = -1};
    return answer(request);
  });
  EXPECT_EQ(download(options(server)).num_files, 2);
}

TEST_F(Download, NamesThatLeaveTheFolderAreRefused) {
  for (const std::string name : {"../../evil", "/etc/evil", "a/../../b", "a//b", ""}) {
    info_["siblings"][0]["rfilename"] = name;
    const test::LoopbackServer server([this](const auto& request) { return answer(request); });
    EXPECT_THAT(error_of(options(server)), HasSubstr("would leave the folder"));
  }
  EXPECT_FALSE(fs::exists(folder_.file("evil")));
}

TEST_F(Download, UnknownNamesAndMissingRightsSayWhatToDo) {
  const test::LoopbackServer missing(
      [](const auto&) { return test::ServerAnswer{.status = 404, .body = {}, .location = {}, .cut_after = -1}; });
  EXPECT_THAT(error_of(options(missing)), HasSubstr("there is no model 'org/name' at revision main"));
  const test::LoopbackServer gated(
      [](const auto&) { return test::ServerAnswer{.status = 401, .body = {}, .location = {}, .cut_after = -1}; });
  EXPECT_THAT(error_of(options(gated)), HasSubstr("set HF_TOKEN"));
  DownloadOptions unreachable = options(gated);
  unreachable.endpoint = "http://127.0.0.1:1";
  EXPECT_THAT(error_of(unreachable), HasSubstr("HF_ENDPOINT"));
}

TEST_F(Download, TheTokenIsSentToTheHubAloneAndNeverShown) {
  const test::LoopbackServer cdn(
      [this](const auto&) { return test::ServerAnswer{.status = 200, .body = weights_, .location = {}, .cut_after = -1}; });
  // localhost and 127.0.0.1 are different hosts to libcurl.
  const std::string elsewhere = "http://localhost" + cdn.url().substr(cdn.url().rfind(':'));
  const test::LoopbackServer server([&](const auto& request) {
    if (request.path.ends_with(".safetensors"))
      return test::ServerAnswer{.status = 302, .body = {}, .location = elsewhere + "/blob", .cut_after = -1};
    return answer(request);
  });
  ::setenv("HF_TOKEN", "canary-token", 1);
  const DownloadResult result = download(options(server));
  ::unsetenv("HF_TOKEN");
  EXPECT_EQ(read_file(result.folder + "/weights/model.safetensors"), weights_);
  for (const auto& request : server.requests()) EXPECT_EQ(request.authorization, "Bearer canary-token");
  ASSERT_EQ(cdn.requests().size(), 1u);
  EXPECT_THAT(cdn.requests()[0].authorization, IsEmpty());
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path())) {
    if (entry.is_regular_file()) {
      EXPECT_THAT(read_file(entry.path().string()), testing::Not(HasSubstr("canary")));
    }
  }
}

TEST_F(Download, ATokenFileThatOthersCanReadIsNotUsed) {
  const std::string path = folder_.write("hf/token", "canary-token\n");
  ::chmod(path.c_str(), 0644);
  EXPECT_THAT(with_environment({}).token, IsEmpty());
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(with_environment({}).token, "canary-token");
}

TEST_F(Download, DatasetsHaveTheirOwnPaths) {
  info_["siblings"] = {{{"rfilename", "data/train 1.jsonl"}, {"blobId", kConfigHash}, {"size", 3}}};
  const test::LoopbackServer server([this](const test::ServerRequest& request) {
    const bool api = request.path.starts_with("/api/datasets/org/name/revision/v1%2E0") ||
                     request.path.starts_with("/api/datasets/org/name/revision/v1.0");
    if (api) return test::ServerAnswer{.status = 200, .body = info_.dump(), .location = {}, .cut_after = -1};
    if (request.path == std::string("/datasets/org/name/resolve/") + kCommit + "/data/train%201.jsonl") {
      return test::ServerAnswer{.status = 200, .body = "{}\n", .location = {}, .cut_after = -1};
    }
    return test::ServerAnswer{.status = 404, .body = {}, .location = {}, .cut_after = -1};
  });
  DownloadOptions dataset = options(server);
  dataset.kind = Repository::kDataset;
  dataset.revision = "v1.0";
  download(dataset);
  EXPECT_EQ(read_file(resolve(Repository::kDataset, "org/name", "v1.0") + "/data/train 1.jsonl"), "{}\n");
}

}  // namespace
}  // namespace r1::hub
