// kill -9 at random moments, system calls that fail, signals: nothing is lost and the result has the same bytes.
#include <set>

#include "tests/faults/small_run.h"

namespace r1::test {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Faults : public SmallRun {
 protected:
  // Of a run whose save failed for want of room.
  void expect_clear_disk_error() const {
    EXPECT_THAT(log_text(), ContainsRegex("its state needs [0-9]+ bytes, [0-9]+ are free in "));
    expect_whole_checkpoints("run");
    EXPECT_FALSE(fs::exists(out("run") + "/model.safetensors"));
    for (const auto& entry : fs::directory_iterator(out("run"))) EXPECT_THAT(entry.path().string(), Not(HasSubstr(".tmp.")));
  }
};

// The ranks that an mpirun has started.
std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  std::ifstream file(fmt::format("/proc/{}/task/{}/children", parent, parent));
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

TEST_F(Faults, KilledAtAnyMomentOfASaveARunResumesBitForBit) {
  const std::vector<std::string> flags{"--max_steps=12", "--save_steps=1", "--save_total_limit=3"};
  double seconds[3] = {};
  for (const int ranks : {1, 2}) {
    seconds[ranks] = seconds_of([&] { ASSERT_EQ(run(command("sft", ranks, fmt::format("full{}", ranks), flags)), 0) << log_text(); });
  }
  const std::string expected = weights("full1");
  ASSERT_EQ(weights("full2"), expected);
  for (int trial = 0; trial < num_trials(200); ++trial) {
    const int ranks = trial % 4 == 3 ? 2 : 1;
    const std::string name = fmt::format("trial{}", trial);
    Disturbed disturbed(command("sft", ranks, name, flags), environment(), log());
    sleep_seconds(seconds[ranks] * random_.uniform());
    const std::vector<pid_t> children = ranks > 1 ? children_of(disturbed.pid()) : std::vector<pid_t>();
    if (!children.empty() && trial % 8 == 3) {
      kill(children[random_.below(children.size())], SIGKILL);  // one rank alone
    } else {
      disturbed.signal_group(SIGKILL);
      for (const pid_t child : children) kill(child, SIGKILL);
    }
    disturbed.wait();
    for (const pid_t child : children) {
      for (int wait = 0; wait < 200 && kill(child, 0) == 0; ++wait) sleep_seconds(0.05);
    }
    std::vector<std::string> resumed = flags;
    resumed.emplace_back("--resume_from_checkpoint=latest");
    ASSERT_EQ(run(command("sft", 1, name, resumed)), 0) << log_text();
    EXPECT_EQ(weights(name), expected) << name;
    EXPECT_EQ(losses(name), losses("full1")) << name;
    EXPECT_EQ(samples(name), samples("full1")) << name;
    fs::remove_all(out(name));
  }
}

TEST_F(Faults, EverySystemCallOfASaveMayFail) {
  const std::vector<std::string> flags{"--max_steps=2", "--save_steps=1", "--overwrite_output_dir"};
  auto with_shim = environment();
  with_shim["LD_PRELOAD"] = R1_FAULT_SHIM;
  with_shim["R1_FAULT_COUNT"] = folder_.file("count");
  ASSERT_EQ(Disturbed(command("sft", 1, "run", flags), with_shim, log()).wait(), 0) << log_text();
  const std::string expected = weights("run");
  const int num_calls = std::stoi(read_file(folder_.file("count")));
  ASSERT_GT(num_calls, 100);
  const int stride = std::getenv("R1_TEST_FULL") != nullptr ? 1 : 20;
  for (const char* kind : {"ENOSPC", "EIO", "SHORT"}) {
    with_shim["R1_FAULT_KIND"] = kind;
    for (int at = 1 + static_cast<int>(random_.below(static_cast<std::uint64_t>(stride))); at <= num_calls; at += stride) {
      SCOPED_TRACE(fmt::format("{} in call {} of {}", kind, at, num_calls));
      with_shim["R1_FAULT_AT"] = std::to_string(at);
      fs::remove_all(out("run"));
      fs::remove(log());
      const int code = Disturbed(command("sft", 1, "run", flags), with_shim, log()).wait();
      if (std::string(kind) == "SHORT") {
        expect_whole_checkpoints("run");
        EXPECT_EQ(code, 0) << log_text();
        EXPECT_EQ(weights("run"), expected);
        continue;
      }
      EXPECT_EQ(code, 6) << log_text();
      expect_clear_disk_error();
    }
  }
}

// As on a full disk or over a quota.
TEST_F(Faults, AFileThatMayNotGrowIsExit6WithNeededAndFreeBytes) {
  std::vector<std::string> limited{"bash", "-c", "ulimit -f 100; exec \"$@\"", "limited"};
  const auto program = command("sft", 1, "run", {"--max_steps=2", "--save_steps=1"});
  limited.insert(limited.end(), program.begin(), program.end());
  EXPECT_EQ(run(limited), 6) << log_text();
  EXPECT_THAT(log_text(), HasSubstr("File too large"));
  expect_clear_disk_error();
}

TEST_F(Faults, AWriteThatFailsOnOneRankEndsAllRanksWithItsReason) {
  for (const int victim : {0, 1}) {
    std::vector<std::string> arguments{"mpirun"};
    const auto program = command("sft", 2, "run", {"--max_steps=2", "--save_steps=1", "--overwrite_output_dir", "--async_save"});
    for (int rank = 0; rank < 2; ++rank) {
      for (const std::string word : {"-n", "1", "env"}) arguments.push_back(word);
      if (rank == victim) {
        for (const std::string word : {"LD_PRELOAD=" R1_FAULT_SHIM, "R1_FAULT_KIND=ENOSPC", "R1_FAULT_AT=3"}) arguments.push_back(word);
      }
      arguments.insert(arguments.end(), program.begin() + 3, program.end());
      if (rank == 0) arguments.emplace_back(":");
    }
    fs::remove(log());
    EXPECT_EQ(run(arguments), 6) << log_text();
    EXPECT_THAT(log_text(), HasSubstr("No space left"));
    expect_clear_disk_error();
  }
}

// Within an epoch no sample comes twice but in the iterations of its own rollout (GRPO), which follow each other.
void expect_each_sample_once(const std::vector<std::pair<std::int64_t, std::vector<std::int64_t>>>& steps, std::size_t num_iterations,
                             std::size_t steps_per_epoch) {
  std::set<std::int64_t> seen;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& [step, samples] = steps[i];
    EXPECT_EQ(step, static_cast<std::int64_t>(i) + 1);
    EXPECT_FALSE(samples.empty());
    if (i % num_iterations != 0) {
      EXPECT_EQ(samples, steps[i - 1].second) << "step " << step;
      continue;
    }
    if (i % steps_per_epoch == 0) seen.clear();
    for (const std::int64_t sample : samples) EXPECT_TRUE(seen.insert(sample).second) << "sample " << sample << " again in step " << step;
  }
}

// Signals at random moments until the run is done.
TEST_F(Faults, StoppedByUsr1AtRandomMomentsAChainOfRestartsEndsWithTheSameBytes) {
  const std::size_t num_steps = std::getenv("R1_TEST_FULL") != nullptr ? 100 : 40;
  for (const std::string task : {"sft", "grpo"}) {
    const std::vector<std::string> flags{fmt::format("--max_steps={}", num_steps), "--save_steps=16", "--save_total_limit=2"};
    const double seconds = seconds_of([&] { ASSERT_EQ(run(command(task, 2, task, flags)), 0) << log_text(); });
    const auto expected = losses(task);
    ASSERT_EQ(expected.size(), num_steps);
    const auto trained = samples(task);
    expect_each_sample_once(trained, task == "sft" ? 1 : 2, task == "sft" ? 20 : 100);
    int num_stops = 0;
    for (int trial = 0; num_stops < num_trials(50); ++trial) {
      const std::string name = fmt::format("{}{}", task, trial);
      int code = 85;
      while (code == 85) {
        std::vector<std::string> resumed = flags;
        resumed.emplace_back("--resume_from_checkpoint=latest");
        Disturbed disturbed(command(task, 2, name, resumed), environment(), log());
        // Not before the ranks run (until then the signal is mpirun's own), and not after the end, which on a quick machine is soon.
        const double earliest = std::min(0.5, seconds / 2);
        sleep_seconds(earliest + (seconds - earliest) * random_.uniform());
        disturbed.signal_it(SIGUSR1);
        code = disturbed.wait();
        ASSERT_THAT(code, ::testing::AnyOf(0, 85, 128 + SIGUSR1)) << log_text();
        num_stops += code == 85 ? 1 : 0;
        if (code == 128 + SIGUSR1) break;
      }
      if (code != 0) ASSERT_EQ(run(command(task, 2, name, {flags[0], "--resume_from_checkpoint=latest"})), 0) << log_text();
      EXPECT_EQ(weights(name), weights(task)) << name;
      EXPECT_EQ(losses(name), expected) << name << ": each step once, with the same loss";
      EXPECT_EQ(samples(name), trained) << name;
      fs::remove_all(out(name));
    }
  }
}

TEST_F(Faults, WorldSizesMayChangeAtEveryRestart) {
  ASSERT_EQ(run(command("sft", 1, "full", {"--max_steps=60", "--save_strategy=no"})), 0) << log_text();
  const int worlds[] = {1, 2, 4, 3};
  const char* configs[] = {"zero3", "zero2", "ddp"};
  const int num_stops = num_trials(30) + 3;
  std::vector<std::string> flags{"--max_steps=60", "--save_strategy=no", "--resume_from_checkpoint=latest"};
  int code = 85, stops = 0;
  for (int start = 0; code == 85; ++start) {
    const int ranks = worlds[start % 4];
    std::vector<std::string> now = flags;
    now.push_back(fmt::format("--accelerate_config={}/accelerate_configs/{}.yaml", source_folder(), configs[start % 3]));
    Disturbed disturbed(command("sft", ranks, "run", now), environment(), log());
    if (stops < num_stops) {
      const std::size_t steps = losses("run").size();
      for (int wait = 0; wait < 2000 && losses("run").size() <= steps; ++wait) sleep_seconds(0.005);
      disturbed.signal_it(SIGUSR1);
    }
    code = disturbed.wait();
    stops += code == 85 ? 1 : 0;
  }
  EXPECT_EQ(code, 0) << log_text();
  EXPECT_GE(stops, 3);
  EXPECT_EQ(losses("run"), losses("full"));
  EXPECT_EQ(samples("run"), samples("full"));
  expect_each_sample_once(samples("run"), 1, 20);
  EXPECT_EQ(weights("run"), weights("full"));
}

TEST_F(Faults, ASecondJobInTheFolderIsRefusedAtOnce) {
  const std::vector<std::string> flags{"--max_steps=100000", "--save_strategy=no"};
  Disturbed first(command("sft", 1, "run", flags), environment(), log());
  for (int wait = 0; wait < 1000 && !fs::exists(out("run") + "/metrics.jsonl"); ++wait) sleep_seconds(0.01);
  const double seconds = seconds_of([&] {
    EXPECT_EQ(run(command("sft", 1, "run", {"--max_steps=100000", "--resume_from_checkpoint=latest"})), 2);
  });
  EXPECT_LT(seconds, 15) << "it waits for nobody; a process's start on a busy machine takes some seconds";
  EXPECT_THAT(log_text(), HasSubstr(fmt::format("in use by job pid{}", first.pid())));
  first.signal_it(SIGTERM);
  EXPECT_EQ(first.wait(), 85) << log_text();
}

TEST_F(Faults, ASecondTermEndsTheProcessAtOnce) {
  // A step of many seconds: the first TERM waits for its end.
  Disturbed job(
      command("sft", 1, "run",
              {"--dataset_name=builtin/chain:rows=40000", "--gradient_accumulation_steps=40000", "--max_steps=3", "--logging_steps=1"}),
      environment(), log());
  for (int wait = 0; wait < 1500 && !fs::exists(out("run") + "/samples.jsonl"); ++wait) sleep_seconds(0.01);
  sleep_seconds(0.2);
  job.signal_it(SIGTERM);
  sleep_seconds(0.2);
  job.signal_it(SIGTERM);
  EXPECT_LT(seconds_of([&] { EXPECT_EQ(job.wait(), 143) << log_text(); }), 5);
  EXPECT_FALSE(fs::exists(out("run") + "/latest"));
}

TEST_F(Faults, Usr2SavesAndGoesOn) {
  Disturbed job(command("sft", 2, "run", {"--max_steps=100000", "--save_strategy=no", "--async_save"}), environment(), log());
  for (int wait = 0; wait < 1000 && !fs::exists(out("run") + "/metrics.jsonl"); ++wait) sleep_seconds(0.01);
  job.signal_it(SIGUSR2);
  for (int wait = 0; wait < 1000 && !fs::exists(out("run") + "/latest"); ++wait) sleep_seconds(0.01);
  EXPECT_TRUE(fs::exists(out("run") + "/latest")) << log_text();
  job.signal_it(SIGUSR1);
  EXPECT_EQ(job.wait(), 85) << log_text();
  // One for USR2, a second one where mpirun passes on what its group had received already, and the one of USR1.
  EXPECT_THAT(checkpoint::checkpoint_steps(out("run")).size(), ::testing::AnyOf(2, 3));
}

TEST_F(Faults, BeforeTheJobsEndTheRunSavesAndStops) {
  auto environment_of_job = environment();
  environment_of_job["SLURM_JOB_END_TIME"] = std::to_string(std::time(nullptr) + 3602);
  const int code =
      Disturbed(command("sft", 1, "run", {"--max_steps=100000", "--save_before_seconds=3600"}), environment_of_job, log()).wait();
  EXPECT_EQ(code, 85) << log_text();
  EXPECT_TRUE(fs::exists(out("run") + "/latest"));
}

TEST_F(Faults, ARestartedSlurmJobResumesWithoutAFlag) {
  ASSERT_EQ(run(command("sft", 1, "full", {"--max_steps=8", "--save_steps=3"})), 0) << log_text();
  fs::copy(out("full"), out("run"), fs::copy_options::recursive);
  fs::remove_all(out("run") + "/checkpoint-6");
  auto restarted = environment();
  restarted["SLURM_RESTART_COUNT"] = "1";
  ASSERT_EQ(Disturbed(command("sft", 1, "run", {"--max_steps=8", "--save_steps=3", "--async_save"}), restarted, log()).wait(), 0)
      << log_text();
  EXPECT_THAT(log_text(), HasSubstr("resumed from " + out("run") + "/checkpoint-3"));
  EXPECT_EQ(weights("run"), weights("full"));
  EXPECT_EQ(losses("run"), losses("full"));
  expect_whole_checkpoints("run");
}

}  // namespace
}  // namespace r1::test
