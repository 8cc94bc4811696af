// Which tokens of which sequences go into the next forward pass.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "engine/sequence.h"

namespace r1::engine {

/// The next num_tokens tokens of a sequence, behind the computed ones.
struct ScheduledChunk {
  Sequence* sequence = nullptr;
  std::int64_t num_tokens = 0;
  /// Whether the chunk ends with the sequence's last token, so that the next one can be drawn.
  bool draws() const { return sequence->num_computed + num_tokens == sequence->num_tokens(); }
};

/// A follower that gets its prompt from its leader, and the copy of the last, incomplete block that it needs.
struct PromptTakeover {
  Sequence* sequence = nullptr;
  BlockId copy_from = -1, copy_to = -1;  // -1: the prompt ends with a full block
};

/// Sequences run in the order of their arrival. When the pool is full the latest one gives its blocks back and is computed again later.
/// Decisions change the time that a completion takes, never its content.
class Scheduler {
 public:
  Scheduler(BlockAllocator& blocks, int max_num_sequences, std::int64_t max_batch_tokens);

  void add(std::unique_ptr<Sequence> sequence);
  bool has_unfinished() const { return !waiting_.empty() || !running_.empty(); }
  std::int64_t num_running() const { return static_cast<std::int64_t>(running_.size()); }
  std::int64_t num_waiting() const { return static_cast<std::int64_t>(waiting_.size()); }

  /// At least one chunk while anything is unfinished. Blocks for the chunks are allocated.
  std::vector<ScheduledChunk> schedule();

  /// The chunk's keys and values are in the cache now.
  void computed(const ScheduledChunk& chunk);
  /// The followers of a leader whose prompt is complete, as far as blocks for them are free; the others wait on their own.
  std::vector<PromptTakeover> take_over(Sequence& leader);
  /// Removes a running sequence and frees its blocks.
  std::unique_ptr<Sequence> finish(Sequence& sequence);

  std::int64_t preemptions() const { return preemptions_; }
  std::int64_t cached_prompt_tokens() const { return cached_prompt_tokens_; }

 private:
  using Running = std::vector<std::unique_ptr<Sequence>>;

  bool allocate_for(Sequence& sequence, std::int64_t num_tokens);
  void release_blocks(Sequence& sequence);
  /// Frees the blocks of the latest running sequence that has any, other than `except`. False when there is none behind it.
  bool preempt_behind(const Sequence& sequence);
  void wait_again(Running::iterator position);
  void release_followers(const Sequence& leader);
  Sequence* leader_for(const Sequence& sequence) const;
  bool admit_next(std::int64_t& budget, std::vector<ScheduledChunk>& chunks);

  BlockAllocator& blocks_;
  int max_num_sequences_;
  std::int64_t max_batch_tokens_;
  std::deque<std::unique_ptr<Sequence>> waiting_;  // by arrival
  Running running_;                                // by arrival
  std::int64_t preemptions_ = 0, cached_prompt_tokens_ = 0;
};

}  // namespace r1::engine
