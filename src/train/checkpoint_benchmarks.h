// Evaluation of saved checkpoints: a Slurm job per checkpoint and benchmark, queued by scripts/evaluate_checkpoint.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "config/trainer_config.h"

namespace r1::train {

/// Throws Error(kConfig) for a name in `benchmarks` that scripts/run_benchmarks does not know, with its list.
void check_benchmarks(const config::CommonConfig& common, const config::TrainerConfig& config);

/// Has each finished checkpoint evaluated, those of the job's earlier lives too; nothing without `benchmarks`. Rank 0 makes one. Training
/// never waits for it and never fails because of it: what goes wrong is a warning. A checkpoint is queued once, also over restarts:
/// the script keeps account in output_dir/benchmarks.
class CheckpointBenchmarks {
 public:
  /// Says in a notice when nothing will be queued (no Slurm job, no sbatch) and how to do it later. With R1_STAGED_OUTPUT in the
  /// environment the staging step queues them when the checkpoints have reached that folder.
  explicit CheckpointBenchmarks(const config::TrainerConfig& config);
  ~CheckpointBenchmarks();
  CheckpointBenchmarks(const CheckpointBenchmarks&) = delete;
  CheckpointBenchmarks& operator=(const CheckpointBenchmarks&) = delete;

  /// A save of this step has begun; with async_save its checkpoint gets its name later.
  void expect(std::int64_t step) { expected_.insert(step); }
  /// Starts the script for each expected checkpoint that has got its final name, and looks how earlier ones ended.
  void poll();
  /// poll(), and waits for the scripts, at most kPatienceSeconds.
  void finish();

  static constexpr double kPatienceSeconds = 30;

 private:
  void reap();

  std::string output_dir_, script_;
  bool is_active_ = false;
  std::set<std::int64_t> expected_;
  std::vector<std::pair<pid_t, std::string>> running_;  // process, checkpoint
};

}  // namespace r1::train
