// What would make a job fit that does not.
#pragma once

#include <optional>
#include <string>

#include "plan/memory_plan.h"

namespace r1::plan {

struct TrainingLayout {
  int rows = 1;  // per_device_train_batch_size
  int nodes = 1, ranks_per_node = 1;
  double device_memory = 0;  // of a rank
  double process = 0;        // what a rank takes beside MemoryPlan::needed()
};

struct Advice {
  std::string change;  // flags, in words of the command line
  double needed = 0;   // bytes of a rank then, the process included
};

/// The smallest change that fits, by cost: recompute (a third more computing, the same result), the next ZeRO stages (traffic, the same
/// result), a smaller micro-batch with as many rows a step, GRPO: a smaller KV cache and ranks that share the weights while generating,
/// more nodes. Changes are combined where one is not enough. Nothing when 64 times the nodes would not do.
std::optional<Advice> smallest_change(const TrainingShape& shape, const TrainingLayout& layout);

/// The same for generation: storage of the weights, tensor and pipeline parallel ranks.
std::optional<Advice> smallest_change(const InferenceShape& shape, double device_memory, double process);

}  // namespace r1::plan
