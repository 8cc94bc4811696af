// The engine of a GRPO rollout on one rank, or on the ranks that hold one copy of the model together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/rank_layout.h"
#include "train/grpo_prompts.h"

namespace r1::train {

struct RolloutCompletion {
  std::int64_t prompt = 0;         // index into GrpoPrompts::prompts
  std::int64_t prompt_number = 0;  // row id of its random stream
  std::int32_t sample = 0;         // within the group
  std::vector<std::int32_t> ids;   // token ids as drawn: never encoded again
  std::vector<float> log_probs;    // of the engine
  bool is_truncated = false;       // without an end token
  std::string text;                // without special tokens

  std::vector<rewards::RewardResult> rewards;  // one per function
  std::optional<double> reward;                // their weighted sum; nothing when no function has a value
  double advantage = 0;
  std::vector<float> reference_log_probs;  // of the reference model, where they were computed ahead; else empty
};

/// A prompt to complete, and the number that names its random stream. Numbers ascend within a rollout.
struct PromptDraw {
  std::int64_t prompt = 0, number = 0;
};

struct RolloutOptions {
  engine::SamplingParams sampling;
  int num_generations = 1;
  std::uint64_t seed = 42;
  std::int64_t kv_cache_bytes = 0;
  bool enforce_eager = false;
  int ranks_sharing_memory = 1;
  int tensor_parallel_size = 1;
  int max_num_sequences = 256;  // in flight on a copy of the model
};

/// Of the last rollout.
struct RolloutStats {
  double idle_slot_share = 0;  // of the engine's sequence slots
  std::int64_t preemptions = 0;
};

/// A finished completion: ids, log_probs and is_truncated alone; item = draw × num_generations + sample.
struct FinishedItem {
  std::int64_t item = 0;
  RolloutCompletion completion;
};

class RolloutEngine {
 public:
  /// longest_prompt: of all that will be given to generate(). layout: the ranks with one copy of the model; null: this one alone.
  /// Throws Error(kConfig) when a prompt leaves no room for a completion.
  RolloutEngine(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, std::int64_t longest_prompt,
                const RolloutOptions& options, engine::RankLayout* layout);

  /// num_generations completions of each draw, shared among the ranks; what this rank finished goes to on_finished as it comes (with a
  /// layout: on its leader alone). The model has other values than in the call before. Collective over ranks.
  void generate(comm::Communicator& ranks, const GrpoPrompts& prompts, std::span<const PromptDraw> draws,
                const std::function<void(std::vector<FinishedItem>)>& on_finished);

  const RolloutStats& stats() const { return stats_; }

 private:
  const ExecContext& ctx_;
  RolloutOptions options_;
  engine::RankLayout* layout_;
  std::shared_ptr<const engine::SamplingParams> sampling_;
  std::unique_ptr<engine::Engine> engine_;
  RolloutStats stats_;
};

}  // namespace r1::train
