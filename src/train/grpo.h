// Group relative policy optimisation: rollout, rewards, advantages, loss.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "checkpoint/inference_model.h"
#include "config/grpo_config.h"
#include "data/sampler.h"
#include "report/html_report.h"
#include "train/advantages.h"
#include "train/grpo_breakdown.h"
#include "train/grpo_loss.h"
#include "train/micro_batch.h"
#include "train/objective.h"
#include "train/rollout.h"

namespace r1::train {

/// What the objective works with; all outlive it.
struct GrpoParts {
  TrainerParts trainer;
  const text::Tokenizer& tokenizer;
  const rewards::WeightedRewards& rewards;
  const GrpoPrompts& prompts;
  const GrpoPrompts* eval_prompts = nullptr;               // null: no evaluation
  checkpoint::InferenceModel* reference = nullptr;         // null: beta is 0
  std::vector<report::CompletionRecord>* shown = nullptr;  // completions for the report; rank 0
  RewardBreakdown* breakdown = nullptr;                    // of a built-in task; rank 0
  GeneratorLink* link = nullptr;                           // null: the training ranks generate themselves
};

RolloutOptions rollout_options(const config::GrpoConfig& config, const text::Tokenizer& tokenizer, int ranks_sharing_memory);

/// A model that gives no numbers any more.
std::string about_spoilt_rollout(const GrpoPrompts& prompts, std::span<const PromptDraw> draws, std::int64_t step, std::string_view error);

/// A step's completions are all generated before its first micro-batch, sorted by length and cut into micro-batches of
/// per_device_train_batch_size, which are dealt to the ranks. Completions that cannot move the loss (advantage 0 without a KL term, or
/// masked) are not run through the model; they count in the normalizer all the same.
class GrpoObjective : public Objective {
 public:
  GrpoObjective(GrpoParts parts, const config::GrpoConfig& config, int ranks_sharing_memory);

  std::int64_t prepare(std::int64_t step) override;
  void forward(nn::Pass& pass, std::int64_t micro_batch) override;
  double finish_step(report::MetricRow& metrics) override;
  StepWork step_work() const override { return work_; }
  double epoch(std::int64_t steps) const override;
  std::optional<Evaluation> evaluate(nn::Pass& pass) override;
  void add_timings(report::MetricRow& metrics, double seconds) override;
  void step_logged(std::int64_t step) override;
  /// reference/model.safetensors, when the reference model is mixed with the policy (sync_ref_model).
  void save_files(const std::string& folder) override;
  void load_files(const std::string& folder) override;
  std::vector<std::int64_t> samples_of(std::int64_t micro_batch) const override;
  std::string rows_of_step() const override;
  std::string save_state() override;
  void load_state(const std::string& json) override;

  std::int64_t steps_per_epoch() const;

 protected:
  /// num_generations completions of each prompt with their rewards. Collective. A test brings its own here.
  virtual std::vector<RolloutCompletion> sample_scored(const GrpoPrompts& prompts, std::span<const PromptDraw> draws);

 private:
  /// Sums of one micro-batch, for metrics; added in micro-batch order.
  struct Sums {
    double loss = 0, kl = 0, clipped_low = 0, clipped_high = 0, entropy = 0, max_log_prob_diff = 0;
    std::int64_t num_tokens = 0;
  };
  struct Timings {
    double rollout = 0, reward = 0, log_prob = 0;
    double generating = 0;  // from the order to the last completion
    double ahead = 0;       // of it: reward and log_prob of those that were there
    double idle_slots = 0;
    std::int64_t rollouts = 0, rollout_tokens = 0;
  };

  /// What a micro-batch leaves on the device until the step's end.
  struct MicroBatchResults {
    std::int64_t micro_batch = 0;
    std::vector<std::size_t> first_label;  // of each completion
    Tensor log_probs, entropies;           // [num_tokens] f32
  };

  void collect();
  /// Adds the log-probabilities' part of the metrics, and keeps them for later iterations.
  void read_log_probs();
  std::vector<RolloutCompletion> draw_groups(std::int64_t num_groups);
  void cut_into_micro_batches();
  void mix_reference();
  bool mixes_reference() const { return config_.sync_ref_model && parts_.reference != nullptr; }
  /// Completions behind their prompts, without the last token, which predicts nothing.
  struct PackedCompletions {
    MicroBatch tokens;
    std::vector<std::size_t> first_label;  // of each: position that predicts its first token
  };
  PackedCompletions pack(std::span<const RolloutCompletion* const> completions) const;
  /// At every position.
  std::vector<float> reference_log_probs(const MicroBatch& packed, const DeviceBatch& batch);
  /// While others are being generated: some of this trainer's share of those that are there. Returns whether there were any.
  bool compute_reference_ahead(std::vector<RolloutCompletion>& completions, const std::vector<bool>& has_arrived);
  /// What the trainers computed ahead, on all of them. Collective.
  void share_reference(std::vector<RolloutCompletion>& completions);
  void add_rollout_metrics(const std::vector<RolloutCompletion>& completions, const Advantages& advantages, const std::string& prefix,
                           report::MetricRow& metrics) const;
  int rank() const { return parts_.trainer.store.communicator().rank(); }
  int num_ranks() const { return parts_.trainer.store.communicator().world_size(); }
  bool is_on_policy() const { return iteration_ == 0; }

  GrpoParts parts_;
  const config::GrpoConfig& config_;
  GrpoLossOptions loss_;
  float log_prob_temperature_ = 1;
  std::unique_ptr<Rollout> rollout_;
  data::Sampler sampler_;
  std::int64_t groups_per_step_ = 1;
  std::int64_t next_prompt_number_ = 0;  // since step 0

  // The rollout in use.
  WeightsStamp weights_;
  std::vector<RolloutCompletion> completions_;
  Advantages advantages_;
  GrpoNormalizer normalizer_;
  std::vector<std::vector<std::int64_t>> micro_batches_;  // indices into completions_; of all ranks
  std::vector<std::vector<double>> old_log_probs_;        // by completion, of this rank's micro-batches, from the first iteration
  std::int64_t iteration_ = 0;
  std::int64_t dropped_groups_ = 0, step_ = 0;
  std::int64_t num_updates_ = 0;  // of the weights as they are

  std::vector<Sums> sums_;                 // of this rank's micro-batches
  std::vector<MicroBatchResults> unread_;  // the same, until finish_step()
  StepWork work_;
  std::int64_t total_tokens_ = 0;
  Timings timings_;
};

}  // namespace r1::train
