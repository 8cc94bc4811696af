// Continuous batching: prefill chunks and decode steps of many sequences share each forward pass of the model.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/sampling_params.h"
#include "models/causal_lm.h"
#include "nn/unit_runner.h"

namespace r1::text {
class Tokenizer;
}

namespace r1::engine {

/// One completion to make. (row_id, sample) names its random stream: the text depends on nothing else that is in flight.
struct Request {
  std::uint64_t row_id = 0;
  std::uint32_t sample = 0;
  std::shared_ptr<const std::vector<std::int32_t>> prompt_ids;  // at least one id; samples of one prompt may share it
  std::shared_ptr<const SamplingParams> params;
  std::function<void(std::int32_t id)> on_token;  // called with each token as it is drawn; may be empty
};

enum class FinishReason : std::uint8_t {
  kStop,          // a stop token or a stop text
  kMaxNewTokens,  // "length": max_new_tokens reached
  kMaxModelLen,   // "length": prompt and completion fill max_model_len
};

struct Completion {
  std::uint64_t row_id = 0;
  std::uint32_t sample = 0;
  std::vector<std::int32_t> ids;  // without the prompt; a stop token is the last one
  std::vector<float> log_probs;   // log_softmax(logits / temperature)[id] before penalty and filters; temperature 1 when greedy
  FinishReason finish_reason = FinishReason::kStop;
  std::string text;  // decoded without special tokens, cut before the stop text; empty without a tokenizer
};

class RankLayout;

struct EngineOptions {
  std::uint64_t seed = 42;
  std::int64_t max_model_len = 0;  // 0 = the model's max_position_embeddings
  /// Of all layers together; 0 = enough for max_num_sequences of max_model_len, at most this rank's part of half the free memory.
  std::int64_t kv_cache_bytes = 0;
  int ranks_sharing_memory = 1;  // where their tensors live
  int max_num_sequences = 256;
  std::int64_t max_batch_tokens = 0;  // tokens of one forward pass; longer prefills are cut into chunks; 0: the device's default
  /// Prompts attend within the batch in which they begin (nn::PagedCache::Fresh); none: on CUDA alone, and not in its batch-invariant mode,
  /// where the two ways have other bits. On the CPU they have the same.
  std::optional<bool> attend_in_batch;
  int block_size = 32;
  bool prefix_cache = true;
  /// Decode steps are launched op by op even where the device could replay them (engine/decode_graphs.h).
  bool enforce_eager = false;
  /// The ranks that hold the model together; null: this one has all of it. All ranks of a group add the same requests in the same order
  /// between the same steps, and get the same completions.
  RankLayout* ranks = nullptr;
  /// Asked on the drawing rank of several; its answer is stop_agreed() on all of them.
  std::function<bool()> wants_to_stop;
};

/// EngineOptions::max_batch_tokens where none is given.
std::int64_t default_batch_tokens(Device device);

/// What the last step did, and the sums since the engine was made.
struct EngineStats {
  std::int64_t running = 0, waiting = 0;
  std::int64_t used_blocks = 0, num_blocks = 0;
  std::int64_t steps = 0, prefill_tokens = 0, decode_tokens = 0, cached_prompt_tokens = 0, preemptions = 0;
  std::int64_t replayed_steps = 0;                   // decode steps that the device ran from a recording
  std::int64_t slot_steps = 0, idle_slot_steps = 0;  // slots offered and slots without a sequence, while any request was unfinished
};

/// The model's values must be readable through the runner whenever step() is called. Not thread-safe.
///
/// In a pipeline each step() starts one batch on the first stage; as many batches as there are stages are under way, each with sequences
/// and a cache of its own.
class Engine {
 public:
  /// tokenizer may be null when no text is wanted and no request has stop texts. Throws Error(kMemory) when the cache cannot hold
  /// one sequence of max_model_len.
  Engine(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const text::Tokenizer* tokenizer, EngineOptions options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Throws Error(kData) for an empty prompt or one of max_model_len tokens or more, naming the row.
  void add(Request request);
  bool has_unfinished() const;
  /// One forward pass. Returns the completions that it ended; in a pipeline, those of the pass that was started a round before.
  std::vector<Completion> step();
  /// All of them, in the order of the requests. Nothing else may be in flight.
  std::vector<Completion> generate(std::span<const Request> requests);

  /// The model has other values now: forgets the prefix cache. Nothing may be in flight.
  void weights_changed();
  const EngineStats& stats() const;
  /// Whether options.wants_to_stop said so with the tokens that were drawn last: the same on all ranks of a group.
  bool stop_agreed() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace r1::engine
