#include "plan/recorder.h"

namespace r1::plan {

void Recorder::look() noexcept {
  if (allocator_ == nullptr) return;
  const AllocatorStats stats = allocator_->stats();
  if (stats.peak_bytes <= peak_.bytes) return;
  peak_.bytes = stats.peak_bytes;
  peak_.op_scratch = stats.peak_bytes - stats.bytes_in_use;
  peak_.communication = communication_;
  peak_.gradients = gradients();
  peak_.head = is_in_head_ ? stats.peak_bytes - communication_ - peak_.gradients - head_begin_ : head_kept_;
  peak_.phase = phase_;
}

}  // namespace r1::plan
