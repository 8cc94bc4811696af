// How attention's work is cut: blocks of 64 positions per sequence, and tasks of unequal cost over threads.
#pragma once

#include <cstdint>
#include <vector>

namespace r1::ops::R1_CPU_NAMESPACE {

/// Up to 64 consecutive tokens of one sequence, starting at a multiple of 64 positions of it.
struct SequenceBlock {
  std::int64_t first_token = 0, num_tokens = 0, index_in_sequence = 0;
};

inline std::vector<SequenceBlock> sequence_blocks(const std::int32_t* cu_seqlens, std::int64_t num_sequences) {
  std::vector<SequenceBlock> blocks;
  for (std::int64_t s = 0; s < num_sequences; ++s) {
    for (std::int64_t first = cu_seqlens[s]; first < cu_seqlens[s + 1]; first += 64) {
      blocks.push_back({first, first + 64 < cu_seqlens[s + 1] ? 64 : cu_seqlens[s + 1] - first, (first - cu_seqlens[s]) / 64});
    }
  }
  return blocks;
}

/// Consecutive tasks per thread with nearly equal sums of costs. Which thread runs a task changes no result.
class TaskSplit {
 public:
  template <typename Cost>
  TaskSplit(std::int64_t num_tasks, int num_threads, Cost&& cost) : borders_(static_cast<std::size_t>(num_threads) + 1, num_tasks) {
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < num_tasks; ++i) total += cost(i);
    borders_[0] = 0;
    std::int64_t before = 0;
    int thread = 1;
    for (std::int64_t i = 0; i < num_tasks && thread < num_threads; ++i) {
      const std::int64_t middle = 2 * before + cost(i);  // twice the cost up to the task's middle
      while (thread < num_threads && middle * num_threads > 2 * total * thread) borders_[static_cast<std::size_t>(thread++)] = i;
      before += cost(i);
    }
  }
  std::int64_t begin(std::int64_t thread) const { return borders_[static_cast<std::size_t>(thread)]; }
  std::int64_t end(std::int64_t thread) const { return borders_[static_cast<std::size_t>(thread) + 1]; }

 private:
  std::vector<std::int64_t> borders_;
};

}  // namespace r1::ops::R1_CPU_NAMESPACE
