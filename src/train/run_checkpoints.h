// When a run saves, stops and goes on: save_steps, signals, the job's end time, resume.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "checkpoint/checkpointer.h"
#include "checkpoint/lock.h"
#include "config/common_config.h"
#include "config/trainer_config.h"
#include "train/checkpoint_benchmarks.h"
#include "train/trainer.h"

namespace r1::train {

/// --resume_from_checkpoint is given, or Slurm has restarted the job: the folder may hold a run.
bool continues_run(const config::TrainerConfig& config);

/// Every rank makes one after the weights of the source model are loaded; the calls are collective. The output folder is locked as long
/// as it lives.
class RunCheckpoints {
 public:
  /// A fresh start clears the folder (preflight::prepare_output_dir). Otherwise the checkpoint's state replaces what the store holds, and
  /// completions that the dead try wrote after it become *.lost-<time>. Throws Error(kUsage) for a folder in use or a checkpoint
  /// of another run, Error(kData) for a checkpoint by path that is damaged.
  RunCheckpoints(const config::CommonConfig& common, const config::TrainerConfig& config, const TrainerParts& parts,
                 checkpoint::RunIdentity identity, checkpoint::ExportOptions save_options);
  ~RunCheckpoints();

  /// The step that metrics are cut after: nothing when the run starts afresh, 0 when it goes on with a folder without a checkpoint.
  std::optional<std::int64_t> resumed_from_step() const;
  /// The state of the checkpoint; null without one.
  const checkpoint::TrainingState* state() const { return state_ ? &*state_ : nullptr; }

  /// The folder of that checkpoint.
  const std::string& resumed_from() const { return resumed_from_; }

  enum class Action { kGoOn, kSave, kStop };
  /// What all ranks do after a step: any rank's signal counts. Every check_replicas_steps steps the ranks' copies are compared
  /// (Error(kNumeric)).
  Action after_step(std::int64_t step);
  /// trainer_json: see TrainingState. Copies on several ranks are compared before.
  void save(std::int64_t step, std::string trainer_json, Objective& objective);
  /// Until everything is on disk; copies are compared once more.
  void finish();

 private:
  bool must_stop_now() const;
  void check_replicas(std::int64_t step);

  const config::CommonConfig& common_;
  const config::TrainerConfig& config_;
  comm::Communicator& communicator_;
  checkpoint::RunIdentity identity_;
  const TrainerParts& parts_;
  checkpoint::ExportOptions save_options_;
  std::unique_ptr<checkpoint::RunLock> lock_;         // rank 0
  std::unique_ptr<CheckpointBenchmarks> benchmarks_;  // rank 0
  std::optional<checkpoint::TrainingState> state_;
  std::string resumed_from_;
  std::unique_ptr<checkpoint::Checkpointer> checkpointer_;
  std::int64_t last_step_ = 0, checked_step_ = 0;  // after_step()'s last one; the last one whose replicas were compared
  std::int64_t num_replica_checks_ = 0;
  double replica_check_seconds_ = 0;
  std::optional<double> stop_at_;  // unix seconds; rank 0
};

}  // namespace r1::train
