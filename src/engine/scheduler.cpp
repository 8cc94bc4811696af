#include "engine/scheduler.h"

#include <algorithm>

#include "base/error.h"

namespace r1::engine {

Scheduler::Scheduler(BlockAllocator& blocks, int max_num_sequences, std::int64_t max_batch_tokens)
    : blocks_(blocks), max_num_sequences_(max_num_sequences), max_batch_tokens_(max_batch_tokens) {}

void Scheduler::add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

bool Scheduler::allocate_for(Sequence& sequence, std::int64_t num_tokens) {
  const std::int64_t size = blocks_.block_size();
  const std::int64_t needed = (sequence.num_computed + num_tokens + size - 1) / size - static_cast<std::int64_t>(sequence.blocks.size());
  if (needed > blocks_.num_free()) return false;
  for (std::int64_t i = 0; i < needed; ++i) sequence.blocks.push_back(*blocks_.allocate());
  return true;
}

void Scheduler::release_blocks(Sequence& sequence) {
  // The last first: the beginning of a prompt is what others are likely to share.
  for (auto block = sequence.blocks.rbegin(); block != sequence.blocks.rend(); ++block) blocks_.release(*block);
  sequence.blocks.clear();
  sequence.num_computed = sequence.num_remembered = 0;
  sequence.prefix = 0;
}

void Scheduler::wait_again(Running::iterator position) {
  std::unique_ptr<Sequence> sequence = std::move(*position);
  running_.erase(position);
  sequence->leader = nullptr;
  const auto later = std::ranges::find_if(waiting_, [&](const auto& other) { return other->arrival > sequence->arrival; });
  waiting_.insert(later, std::move(sequence));
}

void Scheduler::release_followers(const Sequence& leader) {
  for (std::size_t i = running_.size(); i-- > 0;) {
    if (running_[i]->leader == &leader) wait_again(running_.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

bool Scheduler::preempt_behind(const Sequence& sequence) {
  for (std::size_t i = running_.size(); i-- > 0;) {
    Sequence& victim = *running_[i];
    if (victim.arrival <= sequence.arrival) return false;
    if (victim.blocks.empty()) continue;
    release_blocks(victim);
    release_followers(victim);
    wait_again(std::ranges::find_if(running_, [&](const auto& other) { return other.get() == &victim; }));
    ++preemptions_;
    return true;
  }
  return false;
}

Sequence* Scheduler::leader_for(const Sequence& sequence) const {
  if (sequence.has_generated()) return nullptr;
  for (auto it = running_.rbegin(); it != running_.rend(); ++it) {
    Sequence& other = **it;
    const bool is_same_prompt = other.request.prompt_ids == sequence.request.prompt_ids;
    if (is_same_prompt && other.leader == nullptr && !other.has_generated() && other.arrival < sequence.arrival) return &other;
  }
  return nullptr;
}

bool Scheduler::admit_next(std::int64_t& budget, std::vector<ScheduledChunk>& chunks) {
  Sequence& next = *waiting_.front();
  const auto start = [&] {
    // A preempted sequence may be older than running ones.
    const auto later = std::ranges::find_if(running_, [&](const auto& other) { return other->arrival > next.arrival; });
    running_.insert(later, std::move(waiting_.front()));
    waiting_.pop_front();
  };
  next.leader = leader_for(next);
  if (next.leader != nullptr) {
    start();
    return true;
  }
  // The last token is always computed: its logits are what is wanted.
  BlockAllocator::Match match = blocks_.match(std::span(next.tokens).first(next.tokens.size() - 1));
  next.blocks = std::move(match.blocks);
  next.prefix = match.prefix;
  next.num_remembered = static_cast<std::int64_t>(next.blocks.size());
  next.num_computed = next.num_remembered * blocks_.block_size();
  const std::int64_t num_tokens = std::min(budget, next.num_tokens() - next.num_computed);
  if (!allocate_for(next, num_tokens)) {
    release_blocks(next);
    return false;
  }
  cached_prompt_tokens_ += next.num_computed;
  budget -= num_tokens;
  chunks.push_back({&next, num_tokens});
  start();
  return true;
}

std::vector<ScheduledChunk> Scheduler::schedule() {
  std::vector<ScheduledChunk> chunks;
  std::int64_t budget = max_batch_tokens_;
  bool is_full = false;
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
    Sequence& sequence = *running_[i];
    if (sequence.leader != nullptr) continue;
    const std::int64_t num_tokens = std::min(budget, sequence.num_tokens() - sequence.num_computed);
    bool has_room = allocate_for(sequence, num_tokens);
    while (!has_room && preempt_behind(sequence)) {
      is_full = true;
      has_room = allocate_for(sequence, num_tokens);
    }
    if (!has_room) {  // the latest of all: it waits for the others to end
      is_full = true;
      continue;
    }
    budget -= num_tokens;
    chunks.push_back({&sequence, num_tokens});
  }
  // What has just lost its blocks must not take them back in the same step.
  while (!is_full && budget > 0 && !waiting_.empty() && num_running() < max_num_sequences_) {
    if (!admit_next(budget, chunks)) break;
  }
  R1_ASSERT(!chunks.empty() || !has_unfinished(), "the scheduler found nothing to do");
  return chunks;
}

void Scheduler::computed(const ScheduledChunk& chunk) {
  Sequence& sequence = *chunk.sequence;
  sequence.num_computed += chunk.num_tokens;
  const std::int64_t size = blocks_.block_size();
  for (; (sequence.num_remembered + 1) * size <= sequence.num_computed; ++sequence.num_remembered) {
    const auto index = static_cast<std::size_t>(sequence.num_remembered);
    sequence.prefix =
        blocks_.remember(sequence.blocks[index], sequence.prefix,
                         std::span(sequence.tokens).subspan(index * static_cast<std::size_t>(size), static_cast<std::size_t>(size)));
  }
}

std::vector<PromptTakeover> Scheduler::take_over(Sequence& leader) {
  std::vector<PromptTakeover> taken;
  const bool has_incomplete_block = leader.num_computed % blocks_.block_size() != 0;
  for (const auto& follower : running_) {
    if (follower->leader != &leader) continue;
    PromptTakeover takeover{follower.get()};
    if (has_incomplete_block) {
      const std::optional<BlockId> copy = blocks_.allocate();
      if (!copy) break;
      takeover.copy_from = leader.blocks.back();
      takeover.copy_to = *copy;
    }
    follower->leader = nullptr;
    follower->blocks = leader.blocks;
    if (has_incomplete_block) follower->blocks.back() = takeover.copy_to;
    const std::size_t num_shared = leader.blocks.size() - (has_incomplete_block ? 1 : 0);
    for (std::size_t i = 0; i < num_shared; ++i) blocks_.add_reference(leader.blocks[i]);
    follower->num_computed = leader.num_computed;
    follower->num_remembered = leader.num_remembered;
    follower->prefix = leader.prefix;
    cached_prompt_tokens_ += leader.num_computed;
    taken.push_back(takeover);
  }
  release_followers(leader);
  return taken;
}

std::unique_ptr<Sequence> Scheduler::finish(Sequence& sequence) {
  const auto position = std::ranges::find_if(running_, [&](const auto& other) { return other.get() == &sequence; });
  R1_ASSERT(position != running_.end(), "a sequence ends that does not run");
  std::unique_ptr<Sequence> finished = std::move(*position);
  running_.erase(position);
  release_blocks(*finished);
  return finished;
}

}  // namespace r1::engine
