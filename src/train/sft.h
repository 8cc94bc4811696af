// Supervised fine-tuning: next-token cross entropy over the labelled tokens of a step.
#pragma once

#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "data/sampler.h"
#include "models/causal_lm.h"
#include "train/micro_batch.h"
#include "train/objective.h"

namespace r1::train {

/// Tokenised rows, packed or not, as the trainer draws them.
class TrainingRows {
 public:
  virtual ~TrainingRows() = default;
  virtual std::int64_t num_rows() const = 0;
  /// Adds the row with its labels and pieces to the batch (MicroBatch::add_row).
  virtual void append_to(MicroBatch& batch, std::int64_t index) const = 0;
  /// Lengths of the row's pieces, as append_to adds them.
  virtual std::vector<std::int64_t> piece_lengths(std::int64_t index) const {
    MicroBatch batch;
    append_to(batch, index);
    return batch.sequence_lengths;
  }
};

struct SftOptions {
  std::int64_t per_device_train_batch_size = 8;
  std::int64_t per_device_eval_batch_size = 8;
  std::int64_t gradient_accumulation_steps = 1;
  std::uint64_t data_seed = 42;
  comm::Communicator* communicator = nullptr;  // null: one rank
};

/// Rows are drawn in an order that is a pure function of (data_seed, epoch). An epoch is ceil(rows / (batch size ×
/// accumulation × ranks)) steps: every row is trained once, the last step of an epoch may be smaller. Rank r of N draws the rows
/// of the micro-batches k·N + r alone; losses and counts are added in the micro-batches' order.
class SftObjective : public Objective {
 public:
  SftObjective(const ExecContext& ctx, models::CausalLM& model, SftOptions options, std::shared_ptr<const TrainingRows> train_rows,
               std::shared_ptr<const TrainingRows> eval_rows);

  std::int64_t prepare(std::int64_t step) override;
  void forward(nn::Pass& pass, std::int64_t micro_batch) override;
  double finish_step(report::MetricRow& metrics) override;
  StepWork step_work() const override { return work_; }
  std::vector<std::int64_t> samples_of(std::int64_t micro_batch) const override;
  std::string save_state() override;
  void load_state(const std::string& json) override;
  double epoch(std::int64_t steps) const override;
  std::optional<Evaluation> evaluate(nn::Pass& pass) override;

  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }

 private:
  MicroBatch gather(const TrainingRows& rows, std::span<const std::int64_t> indices) const;
  std::vector<std::int64_t> draw_rows(std::int64_t step) const;
  double flops_of(const MicroBatch& batch) const;

  const ExecContext& ctx_;
  models::CausalLM& model_;
  SftOptions options_;
  std::shared_ptr<const TrainingRows> train_rows_, eval_rows_;
  data::Sampler sampler_;
  std::int64_t steps_per_epoch_ = 1;

  /// What a micro-batch brings to the step's sums.
  struct Counts {
    std::int64_t num_labelled = 0, num_tokens = 0, num_rows = 0;
    double flops = 0;
  };
  struct Sums {
    double loss = 0, correct = 0;
  };
  int rank() const { return options_.communicator != nullptr ? options_.communicator->rank() : 0; }
  int num_ranks() const { return options_.communicator != nullptr ? options_.communicator->world_size() : 1; }
  /// All ranks' items in item order; collective.
  template <typename T>
  std::vector<T> gather_items(const std::vector<T>& own, std::string_view what) const;

  std::vector<std::int64_t> rows_;         // of the step in flight, in order: all ranks'
  std::vector<MicroBatch> micro_batches_;  // this rank's
  std::int64_t num_labelled_tokens_ = 0;
  std::int64_t total_tokens_ = 0;  // of all steps
  std::vector<nn::TokenLoss> losses_;
  StepWork work_;
};

/// Sum in double over fixed blocks of 1,024 values, added in order.
double ordered_sum(const ExecContext& ctx, const Tensor& values);

}  // namespace r1::train
