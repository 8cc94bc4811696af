// Damaged checkpoints are found, to the last bit, and the one before is used.
#include "tests/faults/small_run.h"

namespace r1::test {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Damage : public SmallRun {
 protected:
  void SetUp() override {
    SmallRun::SetUp();
    ASSERT_EQ(run(command("sft", 1, "full", {"--max_steps=6", "--save_steps=2", "--save_hf"})), 0) << log_text();
  }
  bool is_found(const std::string& folder) const {
    try {
      return !checkpoint::find_damage(folder, checkpoint::read_manifest(folder)).empty();
    } catch (const Error& error) {
      return error.kind() == ErrorKind::kData;
    }
  }
  // Every file of the checkpoint with its size.
  std::vector<std::pair<std::string, std::uint64_t>> files() const {
    std::vector<std::pair<std::string, std::uint64_t>> found;
    for (const auto& entry : fs::directory_iterator(newest())) found.emplace_back(entry.path().string(), entry.file_size());
    return found;
  }
  std::string newest() const { return out("full") + "/checkpoint-6"; }
};

TEST_F(Damage, EverySingleBitFlipIsFound) {
  ASSERT_FALSE(is_found(newest()));
  std::uint64_t total = 0;
  for (const auto& [path, size] : files()) total += size;
  int silent = 0;
  for (int trial = 0; trial < 400; ++trial) {
    std::uint64_t at = random_.below(total);
    for (const auto& [path, size] : files()) {
      if (at >= size) {
        at -= size;
        continue;
      }
      const std::string before = read_file(path);
      std::string damaged = before;
      damaged[at] = static_cast<char>(static_cast<unsigned char>(damaged[at]) ^ (1U << random_.below(8)));
      std::ofstream(path, std::ios::binary) << damaged;
      silent += is_found(newest()) ? 0 : 1;
      std::ofstream(path, std::ios::binary) << before;
      break;
    }
  }
  EXPECT_EQ(silent, 0);
  EXPECT_FALSE(is_found(newest()));
}

TEST_F(Damage, EveryTruncationIsFound) {
  for (int trial = 0; trial < 100; ++trial) {
    const auto all = files();
    const auto& [path, size] = all[random_.below(all.size())];
    const std::string before = read_file(path);
    fs::resize_file(path, random_.below(size));
    EXPECT_TRUE(is_found(newest())) << path;
    std::ofstream(path, std::ios::binary) << before;
  }
}

TEST_F(Damage, TheCheckpointBeforeIsUsed) {
  const std::string expected = weights("full");
  fs::resize_file(newest() + "/state.h5", 5000);
  std::fstream manifest(out("full") + "/checkpoint-4/manifest.json", std::ios::in | std::ios::out | std::ios::binary);
  manifest.seekp(700);
  manifest.put('#');
  manifest.close();
  fs::remove(out("full") + "/model.safetensors");
  ASSERT_EQ(run(command("sft", 1, "full", {"--max_steps=6", "--save_steps=2", "--save_hf", "--resume_from_checkpoint=latest"})), 0);
  EXPECT_EQ(weights("full"), expected);
  EXPECT_THAT(log_text(), HasSubstr("skipped " + newest()));
  EXPECT_THAT(log_text(), HasSubstr("checkpoint-4/manifest.json: damaged"));
  EXPECT_THAT(log_text(), HasSubstr("resumed from " + out("full") + "/checkpoint-2"));
}

TEST_F(Damage, ADamagedCheckpointByPathIsAnError) {
  fs::resize_file(newest() + "/state.h5", 5000);
  EXPECT_EQ(run(command("sft", 1, "full", {"--max_steps=6", "--resume_from_checkpoint=" + newest()})), 3);
  EXPECT_THAT(log_text(), HasSubstr("expected"));
}

TEST_F(Damage, AnotherRunsCheckpointIsRefusedUnlessTold) {
  EXPECT_EQ(run(command("sft", 1, "full", {"--max_steps=8", "--resume_from_checkpoint=latest", "--seed=7"})), 2);
  EXPECT_THAT(log_text(), HasSubstr("seed (checkpoint: 42, now: 7)"));
  EXPECT_EQ(run(command("sft", 1, "full", {"--max_steps=8", "--resume_from_checkpoint=latest", "--seed=7", "--resume_unchecked"})), 0);
}

}  // namespace
}  // namespace r1::test
