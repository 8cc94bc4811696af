// The result files that Hugging Face's Trainer leaves, with its names and keys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/metrics.h"

namespace r1::report {

/// What trainer_state.json says besides the history.
struct TrainerState {
  double epoch = 0;
  std::int64_t global_step = 0;
  std::int64_t max_steps = 0;
  double num_train_epochs = 0;
  double logging_steps = 0;
  double save_steps = 0;
  double eval_steps = 0;
  std::int64_t train_batch_size = 0;  // per device
  std::int64_t num_input_tokens_seen = 0;
  double total_flos = 0;
};

/// Writes path (usually output_dir/trainer_state.json or checkpoint-N/trainer_state.json) atomically. log_history holds one
/// object per logged row, with its epoch and step. Throws Error(kDisk).
void write_trainer_state(const std::string& path, const TrainerState& state, const std::vector<LoggedRow>& history);

/// Writes output_dir/<split>_results.json (split: train, eval) and merges the same keys into output_dir/all_results.json,
/// as Trainer.save_metrics does; keys sorted. Expected for train: epoch, total_flos, train_loss, train_runtime,
/// train_samples, train_samples_per_second, train_steps_per_second. Throws Error(kDisk).
void write_results(const std::string& output_dir, const std::string& split, const MetricRow& results);

}  // namespace r1::report
