// One job at a time in an output folder.
#include <gmock/gmock.h>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "checkpoint/lock.h"
#include "tests/support/paths.h"

namespace r1::checkpoint {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// A process of that job that holds the lock for so long.
pid_t hold_in_another_process(const std::string& folder, const char* job, int milliseconds) {
  const pid_t child = fork();
  if (child != 0) {
    while (!std::filesystem::exists(folder + "/run.lock")) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return child;
  }
  setenv("SLURM_JOB_ID", job, 1);
  new RunLock(folder);
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  _exit(0);  // as if killed: the file stays
}

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

class Lock : public ::testing::Test {
 protected:
  ~Lock() override { unsetenv("SLURM_JOB_ID"); }
  const test::TemporaryFolder folder_;
};

TEST_F(Lock, RefusesAnotherJobWithinTheSecondAndNamesTheHolder) {
  const pid_t holder = hold_in_another_process(folder_.path(), "41", 20000);
  setenv("SLURM_JOB_ID", "42", 1);
  const auto begin = Clock::now();
  try {
    const RunLock lock(folder_.path());
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("in use by job 41 (host "));
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(holder)));
  }
  EXPECT_LT(seconds_since(begin), 1);
  kill(holder, SIGKILL);
  waitpid(holder, nullptr, 0);
  EXPECT_NO_THROW(RunLock(folder_.path())) << "the lock of a killed process is free at once";
}

TEST_F(Lock, WaitsForTheEndingProcessesOfTheSameJob) {
  const pid_t holder = hold_in_another_process(folder_.path(), "41", 1500);
  setenv("SLURM_JOB_ID", "41", 1);
  const auto begin = Clock::now();
  EXPECT_NO_THROW(RunLock(folder_.path()));
  EXPECT_GT(seconds_since(begin), 1);
  waitpid(holder, nullptr, 0);
}

TEST_F(Lock, OfAnotherHostCountsUntilItsLastSignOfLifeIsOld) {
  const std::string path = folder_.write("run.lock", "{\"job\": \"40\", \"host\": \"elsewhere\", \"pid\": 7}\n");
  try {
    const RunLock lock(folder_.path());
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("in use by job 40 (host elsewhere, process 7"));
  }
  std::filesystem::last_write_time(path, std::filesystem::file_time_type::clock::now() - std::chrono::seconds(601));
  EXPECT_NO_THROW(RunLock(folder_.path()));
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace r1::checkpoint
