// What a training run optimises: the part of a step that differs between SFT and GRPO.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nn/unit_runner.h"
#include "report/metrics.h"

namespace r1::train {

/// Work of one step, for throughput figures.
struct StepWork {
  std::int64_t num_tokens = 0;  // through the model with gradients, without padding
  std::int64_t num_rows = 0;
  double flops = 0;
};

/// Calls per step, in this order: prepare, forward (each micro-batch of this rank: k·N + r for rank r of N), finish_step.
/// Micro-batches are numbered globally. prepare, finish_step and evaluate are collective.
class Objective {
 public:
  virtual ~Objective() = default;

  /// Gets the step's data ready; returns its number of micro-batches on all ranks (at least 1).
  virtual std::int64_t prepare(std::int64_t step) = 0;
  /// Runs the model on a micro-batch under the pass's tape and seeds the gradient, normalised over the whole step.
  virtual void forward(nn::Pass& pass, std::int64_t micro_batch) = 0;
  /// The step's loss, and its further metrics into the row. Adds nothing that depends on timing.
  virtual double finish_step(report::MetricRow& metrics) = 0;
  virtual StepWork step_work() const = 0;
  /// Passes over the training data after `steps` steps.
  virtual double epoch(std::int64_t steps) const = 0;
  /// Metrics named eval_<name>, without the timing ones; nothing when there is nothing to evaluate. Also the number of rows.
  struct Evaluation {
    report::MetricRow metrics;
    std::int64_t num_rows = 0, num_batches = 0;
  };
  virtual std::optional<Evaluation> evaluate(nn::Pass& pass) = 0;

  /// Metrics that depend on timing, into a row that is about to be logged: `seconds` passed in the steps since the last one.
  virtual void add_timings(report::MetricRow&, double /*seconds*/) {}
  /// The step has been logged (rank 0 alone).
  virtual void step_logged(std::int64_t /*step*/) {}
  /// What goes on from step to step and is not a function of the step's number, as a JSON object; restored before the first step of a
  /// resumed run. The same text on every rank. save_state is collective.
  virtual std::string save_state() { return "{}"; }
  virtual void load_state(const std::string& /*json*/) {}
  /// Further files of its state, into the folder of a checkpoint in the making (rank 0 writes) and back. Collective.
  virtual void save_files(const std::string& /*folder*/) {}
  virtual void load_files(const std::string& /*folder*/) {}
  /// Ids of the samples of one of this rank's micro-batches, in order: for SFT the row's number in the (packed) training set, for GRPO
  /// running prompt number × num_generations + number in the group.
  virtual std::vector<std::int64_t> samples_of(std::int64_t /*micro_batch*/) const { return {}; }
  /// Which rows the step in flight holds, for the message about a loss that is not finite; may be empty.
  virtual std::string rows_of_step() const { return {}; }
};

}  // namespace r1::train
