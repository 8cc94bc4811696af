// Hands out the items of a job over ranks, each once, to whoever has room.
#pragma once

#include <cstdint>
#include <memory>

#include "comm/communicator.h"

namespace r1::engine {

/// Items [0, num_items). Not collective and not ordered between ranks: each rank takes more when it has room, until nothing is
/// left. What a program makes of an item must not depend on the rank that took it (random streams are keyed by item).
class WorkQueue {
 public:
  /// Collective: every rank of the group makes the same queues in the same order. The communicator outlives the queue.
  WorkQueue(comm::Communicator& communicator, std::int64_t num_items) : counter_(communicator.make_counter()), num_items_(num_items) {}

  struct Items {
    std::int64_t begin = 0, end = 0;
    bool empty() const { return begin == end; }
  };
  /// The next up to `count` items, ascending; empty when all are handed out.
  Items take(std::int64_t count);

 private:
  std::unique_ptr<comm::SharedCounter> counter_;
  std::int64_t num_items_;
  bool exhausted_ = false;
};

}  // namespace r1::engine
