// GRPO with ranks that generate and do not train, and with weights that are spread over ranks for the rollout: the bytes of ranks that do
// both, each with all weights.
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/profile.h"
#include "tests/multi_rank/training_job.h"

namespace r1::test {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Generators : public TrainingJob {
 protected:
  /// The trainers' batch is that of train_grpo on as many colocated ranks.
  ProgramResult train_apart(int num_trainers, int num_generators, const std::string& name, const std::string& sharding,
                            std::vector<std::string> flags = {}) const {
    flags.insert(flags.begin(),
                 {"--num_processes=" + std::to_string(num_trainers), "--gradient_accumulation_steps=" + std::to_string(12 / num_trainers)});
    return train_grpo(num_trainers + num_generators, name, sharding, flags);
  }

  void expect_same(const std::string& name, const std::string& other) const {
    EXPECT_EQ(weights(name), weights(other));
    EXPECT_EQ(metrics(name), metrics(other));
    EXPECT_EQ(completions(name), completions(other));
  }

  /// Sends the signal to a rank some steps into a long run of 2 trainers and 1 generator.
  ProgramResult interrupt(const std::string& name, int rank, int signal) {
    ProgramResult result;
    std::thread job([&] {
      result = train_apart(2, 1, name, "zero3",
                           {"--max_steps=100000", "--log_level=warning", "--watchdog_seconds=3", "--lr_scheduler_type=constant"});
    });
    const double deadline = now_seconds() + 60;
    const std::string metrics_file = out(name) + "/metrics.jsonl";
    while (now_seconds() < deadline && (!std::filesystem::exists(metrics_file) || std::filesystem::file_size(metrics_file) < 1000))
      usleep(10000);
    const auto found = processes(name, rank);
    EXPECT_EQ(found.size(), 1U);
    for (const pid_t process : found) kill(process, signal);
    job.join();
    return result;
  }
};

TEST_F(Generators, GiveTheBytesOfColocatedRanks) {
  ASSERT_EQ(train_grpo(3, "colocated", "ddp").exit_code, 0);
  struct Layout {
    int num_generators;
    const char* sharding;
    int tensor_parallel_size;
  };
  std::vector<Layout> layouts{{1, "zero3", 1}, {2, "zero2", 2}};
  if (std::getenv("R1_TEST_FULL") != nullptr)
    layouts = {{1, "ddp", 1}, {1, "zero2", 1}, {1, "zero3", 1}, {2, "ddp", 2}, {2, "zero2", 1}, {2, "zero3", 2}, {4, "zero3", 2}};
  for (const auto& [num_generators, sharding, tensor_parallel_size] : layouts) {
    SCOPED_TRACE(testing::Message() << "3 + " << num_generators << ", " << sharding << ", weights over " << tensor_parallel_size);
    std::filesystem::remove_all(out("apart"));
    const auto done =
        train_apart(3, num_generators, "apart", sharding, {"--rollout_tensor_parallel_size=" + std::to_string(tensor_parallel_size)});
    ASSERT_EQ(done.exit_code, 0) << done.err;
    expect_same("apart", "colocated");
    EXPECT_THAT(done.err, Not(HasSubstr("rank 3:"))) << "rank 0 alone should speak";
  }
}

TEST_F(Generators, WorkForOneTrainerAndTellWhichWeightsWereUsed) {
  // Rollouts that serve two updates, an evaluation between them, a reference that changes within a rollout.
  const std::vector<std::string> flags{"--num_iterations=2",        "--eval_strategy=steps", "--eval_steps=1",
                                       "--dataset_test_split=test", "--max_steps=6",         "--sync_ref_model=true",
                                       "--ref_model_sync_steps=3"};
  ASSERT_EQ(train_grpo(1, "colocated", "ddp", flags).exit_code, 0);
  const auto done = train_apart(1, 1, "apart", "ddp", flags);
  ASSERT_EQ(done.exit_code, 0) << done.err;
  expect_same("apart", "colocated");
  std::vector<std::string> checksums;
  for (int step = 1; step <= 6; ++step) {
    std::ifstream lines(out("apart") + "/completions/step-00000" + std::to_string(step) + ".jsonl");
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    const Json record = Json::parse(line);
    EXPECT_EQ(record.at("weights_version"), (step - 1) / 2 * 2);
    checksums.push_back(record.at("weights_checksum"));
    EXPECT_EQ(checksums.back().size(), 16U);
  }
  EXPECT_EQ(checksums[0], checksums[1]);
  EXPECT_NE(checksums[1], checksums[2]);
  EXPECT_NE(checksums[3], checksums[4]);
}

TEST_F(Generators, AreHeardWhenASignalComesToThemAndTheRunContinuesOnOtherRanks) {
  const auto stopped = interrupt("interrupted", /*rank=*/2, SIGUSR1);
  EXPECT_EQ(stopped.exit_code, 85) << stopped.err;
  int step = 0;
  for (const auto& entry : std::filesystem::directory_iterator(out("interrupted"))) {
    const std::string name = entry.path().filename();
    if (name.starts_with("checkpoint-")) step = std::stoi(name.substr(11));
  }
  ASSERT_GT(step, 0);
  const std::vector<std::string> flags{"--max_steps=" + std::to_string(step + 2), "--lr_scheduler_type=constant"};
  ASSERT_EQ(train_grpo(2, "whole", "ddp", flags).exit_code, 0);
  std::vector<std::string> resuming = flags;
  resuming.emplace_back("--resume_from_checkpoint=latest");
  const auto resumed = train_apart(3, 1, "interrupted", "zero2", resuming);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  expect_same("interrupted", "whole");
}

TEST_F(Generators, AreNamedWhenTheyAreLost) {
  for (const int signal : {SIGKILL, SIGSTOP}) {
    const std::string name = "lost " + std::to_string(signal);
    const auto done = interrupt(name, /*rank=*/2, signal);
    EXPECT_THAT(done.exit_code, AnyOf(5, 137)) << done.err;
    EXPECT_THAT(done.err, HasSubstr("r1_train: rank 2 (host"));
    EXPECT_TRUE(processes(name, -1).empty()) << "orphans";
  }
}

TEST_F(Generators, MustBeFewerThanTheRanksAndBelongToGrpo) {
  const auto too_many = train_grpo(2, "out", "ddp", {"--num_processes=3"});
  EXPECT_EQ(too_many.exit_code, 2);
  EXPECT_THAT(too_many.err, HasSubstr("--num_processes: expected 1 to 2 trainers (the world size), found 3"));
  const auto none = train_grpo(2, "out", "ddp", {"--num_processes=0"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("--num_processes: expected a whole number >= 1"));
  const auto supervised = train(2, "out", "ddp", {"--num_processes=1"});
  EXPECT_EQ(supervised.exit_code, 2);
  EXPECT_THAT(supervised.err, HasSubstr("only grpo has generators"));
}

TEST_F(Generators, AreNotNeededForWeightsThatAreSpreadOverRanks) {
  ASSERT_EQ(train_grpo(2, "whole", "ddp").exit_code, 0);
  for (const char* sharding : {"zero2", "zero3"}) {
    std::filesystem::remove_all(out("spread"));
    const auto done = train_grpo(2, "spread", sharding, {"--rollout_tensor_parallel_size=2"});
    ASSERT_EQ(done.exit_code, 0) << done.err;
    expect_same("spread", "whole");
  }
  const auto too_many = train_grpo(4, "out", "ddp", {"--rollout_tensor_parallel_size=3"});
  EXPECT_EQ(too_many.exit_code, 2);
  EXPECT_THAT(too_many.err, HasSubstr("expected a divisor of the 4 ranks that generate, found 3"));
}

}  // namespace
}  // namespace r1::test
