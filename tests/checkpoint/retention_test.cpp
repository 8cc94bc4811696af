// Deleting old checkpoints, also while another process deletes the same ones.
#include "checkpoint/retention.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/paths.h"

namespace r1::test {
namespace {

namespace fs = std::filesystem;

void make_checkpoints(const std::string& output_dir, int count, int files) {
  for (int step = 1; step <= count; ++step) {
    const fs::path folder = checkpoint::checkpoint_folder(output_dir, step);
    fs::create_directories(folder);
    for (int i = 0; i < files; ++i) std::ofstream(folder / std::to_string(i)) << i;
  }
}

TEST(Retention, KeepsTheNewestCheckpoints) {
  const TemporaryFolder folder;
  make_checkpoints(folder.path(), 12, 1);
  checkpoint::delete_oldest_checkpoints(folder.path(), 3);
  EXPECT_EQ(checkpoint::checkpoint_steps(folder.path()), (std::vector<std::int64_t>{10, 11, 12}));
}

TEST(Retention, GoesOnWhereStagingDeletesTheSameCheckpoints) {
  const TemporaryFolder folder;
  for (int round = 0; round < 20; ++round) {
    make_checkpoints(folder.path(), 6, 40);
    std::atomic<bool> started = false;
    std::thread other([&] {
      started = true;
      for (int step = 1; step <= 5; ++step) {
        std::error_code ignored;
        fs::remove_all(checkpoint::checkpoint_folder(folder.path(), step), ignored);
      }
    });
    while (!started) std::this_thread::yield();
    EXPECT_NO_THROW(checkpoint::delete_oldest_checkpoints(folder.path(), 1));
    other.join();
    EXPECT_EQ(checkpoint::checkpoint_steps(folder.path()), std::vector<std::int64_t>{6});
  }
}

}  // namespace
}  // namespace r1::test
