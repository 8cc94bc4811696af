// The training loop: accumulation, clipping, schedule, logging, evaluation, saving.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "models/causal_lm.h"
#include "parallel/parameter_store.h"
#include "report/metrics.h"
#include "train/lr_schedule.h"
#include "train/objective.h"
#include "train/optimizer.h"
#include "train/sample_log.h"

namespace r1::train {

/// The loop's settings, resolved: fractions of max_steps are steps here, epochs are max_steps.
struct TrainerOptions {
  std::string output_dir;
  std::int64_t max_steps = 0;
  double num_train_epochs = 0;  // for trainer_state.json
  double max_grad_norm = 1;     // 0: no clipping
  AdamWOptions adamw;
  nn::RecomputeGranularity recompute = nn::RecomputeGranularity::kNone;
  std::int64_t logging_steps = 0;  // 0: never
  bool logging_first_step = false;
  std::int64_t eval_steps = 0;  // 0: not during training
  bool eval_at_end = false;
  std::int64_t save_steps = 0;  // 0: only at the end
  std::optional<std::int64_t> save_total_limit;
  std::int64_t per_device_train_batch_size = 1;
  std::int64_t max_nonfinite_steps = 0;
  bool tensorboard = true;
  bool progress = true;
  bool save_only_model = false;  // what save_steps writes: a Hugging Face folder, else the whole state
};

/// The model and what holds its state; the objects outlive the trainer.
struct TrainerParts {
  const ExecContext& ctx;
  models::CausalLM& model;
  parallel::ParameterStore& store;
  nn::UnitRunner& runner;
};

/// What a finished run can say about itself.
struct TrainResult {
  std::int64_t global_step = 0;
  double train_loss = 0;         // mean over the steps
  double train_runtime = 0;      // seconds
  double tokens_per_second = 0;  // over the whole run, first step left out
  double mean_fraction_of_peak = 0;
  double communication_seconds = 0;  // that this rank's main thread stood still for other ranks
  std::int64_t bytes_sent = 0;       // by this rank
  double first_step_seconds = 0;     // from the process's start to the end of the first step
  std::int64_t num_rows = 0, num_tokens = 0;
  double flops = 0;
};

/// Saves the model as a Hugging Face folder; collective, rank 0 writes; called at save_steps with output_dir/checkpoint-N and at the end
/// with output_dir.
class RunCheckpoints;

using SaveModel = std::function<void(const std::string& folder)>;

/// Every rank makes one and runs it; the steps are collective.
class Trainer {
 public:
  /// checkpoints: null for a run that neither saves its state nor stops at signals.
  Trainer(TrainerParts parts, TrainerOptions options, const LrSchedule& schedule, Objective& objective, SaveModel save_model,
          RunCheckpoints* checkpoints = nullptr);
  ~Trainer();

  /// All steps, then the final evaluation, the model and the result files. Throws Error(kNumeric) naming step and place when
  /// a loss or gradient is not finite, and signals::Stopped after a signal, with everything saved.
  TrainResult run();

  const std::vector<report::LoggedRow>& history() const;

 private:
  struct StepOutcome {
    double loss = 0, grad_norm = 0, learning_rate = 0, seconds = 0;
    std::vector<std::int64_t> samples;  // of all ranks, in the order of their micro-batches
    report::MetricRow metrics;
  };
  /// Rank 0 logs, reports and writes.
  bool is_first_rank() const;
  StepOutcome train_step(std::int64_t step);
  /// A loss or gradient that is not finite, seen by all ranks alike. Throws Error(kNumeric) once max_nonfinite_steps in a row are used up.
  void skip_step(std::int64_t step, const StepOutcome& outcome);
  void log_step(std::int64_t step, const StepOutcome& outcome);
  void evaluate(std::int64_t step);
  void save_checkpoint(std::int64_t step);
  /// What the run does about checkpoints and signals after a step.
  void after_step(std::int64_t step);
  std::string save_state() const;
  void load_state(const std::string& json);
  void write_results(const TrainResult& result);

  TrainerParts parts_;
  TrainerOptions options_;
  const LrSchedule& schedule_;
  Objective& objective_;
  SaveModel save_model_;
  std::unique_ptr<report::MetricsSink> metrics_;
  std::unique_ptr<SampleLog> sample_log_;

  // Since the last logged row: the reference trainer logs means over the interval.
  double interval_loss_ = 0, interval_seconds_ = 0, interval_flops_ = 0;
  std::int64_t interval_steps_ = 0, interval_tokens_ = 0;
  std::int64_t interval_losses_ = 0;  // steps whose loss is finite: those that the mean is of
  double logged_wait_seconds_ = 0;    // for other ranks, up to the last logged row
  std::int64_t nonfinite_steps_ = 0;  // in a row

  RunCheckpoints* checkpoints_ = nullptr;
  /// Sums over all steps, of earlier starts too.
  struct Totals {
    double loss = 0, flops = 0, seconds = 0;
    std::int64_t num_losses = 0, num_rows = 0, num_tokens = 0;
    double timed_seconds = 0, timed_flops = 0;  // without the first step of a start, which fills the allocator's cache
    std::int64_t timed_tokens = 0;
  };
  Totals totals_;
  double run_start_ = 0;
};

/// Seconds since this process was started by the kernel.
double seconds_since_process_start();

}  // namespace r1::train
