// One completion on its way: tokens, cache blocks, state.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/block_allocator.h"
#include "engine/engine.h"
#include "engine/stop_checker.h"

namespace r1::engine {

struct Sequence {
  std::uint64_t arrival = 0;  // place in the order of add()
  Request request;
  std::vector<std::int32_t> tokens;           // prompt and what was generated
  std::vector<float> log_probs;               // of the generated ones
  std::unique_ptr<StopChecker> stop_checker;  // null without stop texts

  std::int64_t num_computed = 0;  // tokens whose keys and values stand in the cache
  std::vector<BlockId> blocks;
  PrefixId prefix = 0;              // of the first num_remembered blocks
  std::int64_t num_remembered = 0;  // full blocks whose content the allocator knows

  /// A sample whose prompt another sequence is computing: it takes over the blocks when they are complete.
  Sequence* leader = nullptr;

  std::int64_t prompt_length() const { return static_cast<std::int64_t>(request.prompt_ids->size()); }
  std::int64_t num_tokens() const { return static_cast<std::int64_t>(tokens.size()); }
  std::int64_t num_generated() const { return num_tokens() - prompt_length(); }
  bool has_generated() const { return num_generated() > 0; }
};

}  // namespace r1::engine
