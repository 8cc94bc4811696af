#include "engine/work_queue.h"

#include <algorithm>

namespace r1::engine {

WorkQueue::Items WorkQueue::take(std::int64_t count) {
  if (exhausted_ || count <= 0) return {};
  const std::int64_t begin = counter_->fetch_add(count);
  if (begin >= num_items_) {
    exhausted_ = true;
    return {};
  }
  return {begin, std::min(begin + count, num_items_)};
}

}  // namespace r1::engine
