// A rank that dies or stops is named, and nothing is left of the job soon after.
#include <sys/resource.h>
#include <sys/syscall.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/profile.h"
#include "tests/multi_rank/training_job.h"

namespace r1::test {
namespace {

using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class LostRank : public TrainingJob {
 protected:
  struct Outcome {
    ProgramResult result;
    double seconds = 0;  // from the signal to the end of mpirun
  };

  /// Sends the signal to a rank some steps into the run.
  Outcome lose(int signal, int rank, int num_ranks, const std::string& sharding, const std::vector<std::string>& flags) {
    fs::remove_all(out("lost"));
    Outcome outcome;
    std::vector<std::string> all{"--max_steps=100000", "--log_level=warning"};
    all.insert(all.end(), flags.begin(), flags.end());
    std::thread job([&] { outcome.result = train(num_ranks, "lost", sharding, all); });
    const double deadline = now_seconds() + 60;
    const std::string metrics_file = out("lost") + "/metrics.jsonl";
    while (now_seconds() < deadline && (!fs::exists(metrics_file) || fs::file_size(metrics_file) < 1000)) usleep(10000);
    usleep(600000);  // a heartbeat has told of a step
    const auto victims = processes("lost", rank);
    EXPECT_EQ(victims.size(), 1u);
    const double start = now_seconds();
    for (const pid_t process : victims) kill(process, signal);
    job.join();
    outcome.seconds = now_seconds() - start;
    return outcome;
  }

  void expect_end(const Outcome& outcome, int rank, double watchdog_seconds) const {
    EXPECT_THAT(outcome.result.err, ContainsRegex("error: r1_train: rank " + std::to_string(rank) +
                                                  " \\(host [^ ]+, process [0-9]+\\).*in phase 'step [0-9]+' for .*collective #[0-9]+"));
    const std::string again = "r1_train: rank " + std::to_string(rank) + " (host";
    EXPECT_EQ(outcome.result.err.find(again), outcome.result.err.rfind(again)) << "told twice: " << outcome.result.err;
    EXPECT_LT(outcome.seconds, watchdog_seconds + 10 + 10);
    EXPECT_TRUE(processes("lost", -1).empty()) << "orphans";
    EXPECT_FALSE(fs::exists(out("lost") + "/model.safetensors"));
  }

  static int num_trials() { return std::getenv("R1_TEST_FULL") != nullptr ? 10 : 2; }
};

TEST_F(LostRank, IsNamedWhenItWasKilled) {
  for (int trial = 0; trial < num_trials(); ++trial) {
    const int rank = trial % 3;  // rank 0, which watches the others, too
    const Outcome outcome = lose(SIGKILL, rank, 3, trial % 2 == 0 ? "zero3" : "ddp", {"--watchdog_seconds=3"});
    expect_end(outcome, rank, 3);
    EXPECT_THAT(outcome.result.err, HasSubstr("died"));
    // The surviving ranks leave with 5; mpirun's own code is that of the end which it saw first.
    EXPECT_THAT(outcome.result.exit_code, AnyOf(5, 137));
  }
}

TEST_F(LostRank, IsNamedWhenItWasStopped) {
  for (int trial = 0; trial < num_trials(); ++trial) {
    const int rank = (trial + 1) % 2;
    const Outcome outcome = lose(SIGSTOP, rank, 2, trial % 2 == 0 ? "zero2" : "zero3", {"--watchdog_seconds=3"});
    expect_end(outcome, rank, 3);
    EXPECT_THAT(outcome.result.err, HasSubstr("no sign of life"));
    EXPECT_EQ(outcome.result.exit_code, 5);
    EXPECT_GT(outcome.seconds, 2);
  }
}

TEST_F(LostRank, IsNamedWithTheDefaultTime) {
  const Outcome outcome = lose(SIGSTOP, 1, 2, "ddp", {});
  expect_end(outcome, 1, 60);
  EXPECT_EQ(outcome.result.exit_code, 5);
}

TEST_F(LostRank, IsNotSuspectedUnderLoad) {
  const bool full = std::getenv("R1_TEST_FULL") != nullptr;
  std::atomic<bool> stop{false};
  std::vector<std::thread> load;
  for (int i = 0; i < 2; ++i) {
    load.emplace_back([&] {
      setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
      while (!stop) {
      }
    });
  }
  const auto done =
      train(2, "loaded", "zero3", {full ? "--max_steps=1000" : "--max_steps=10", "--watchdog_seconds=3", "--log_level=warning"});
  stop = true;
  for (std::thread& thread : load) thread.join();
  EXPECT_EQ(done.exit_code, 0) << done.err;
}

}  // namespace
}  // namespace r1::test
