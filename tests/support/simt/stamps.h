// Who touched a memory cell last, and whether something lies between that and the next access.
#pragma once

#include <cstdint>

namespace r1::simt {

/// Moment of an access: block, thread in it, and how many block and warp barriers the thread had passed.
struct Moment {
  std::uint32_t block = 0;
  std::uint32_t barriers = 0;
  std::uint16_t warp_barriers = 0;
  std::uint16_t thread = 0;
};

class Stamp {
 public:
  bool is_set() const { return kind_ != kUnset; }
  bool is_atomic() const { return is_atomic_; }

  /// Whether nothing orders the stamped accesses before the access at `now`.
  bool concurrent_with(const Moment& now) const {
    if (kind_ == kUnset) return false;
    if (kind_ == kSeveralBlocks || at_.block != now.block) return true;
    if (at_.barriers != now.barriers) return false;
    if (kind_ == kSeveralThreads) return true;
    if (at_.thread == now.thread) return false;
    const bool is_same_warp = at_.thread / 32 == now.thread / 32;
    return !(is_same_warp && at_.warp_barriers < now.warp_barriers);
  }

  void set(const Moment& now, bool is_atomic) {
    at_ = now;
    kind_ = kOne;
    is_atomic_ = is_atomic;
  }

  /// Adds an access without forgetting concurrent ones of others (reads, atomics).
  void add(const Moment& now, bool is_atomic) {
    if (!concurrent_with(now)) return set(now, is_atomic);
    kind_ = kind_ == kSeveralBlocks || at_.block != now.block ? kSeveralBlocks : kSeveralThreads;
    is_atomic_ = is_atomic;
  }

  unsigned thread() const { return at_.thread; }
  unsigned block() const { return at_.block; }

 private:
  enum Kind : std::uint8_t { kUnset, kOne, kSeveralThreads, kSeveralBlocks };
  Moment at_;
  Kind kind_ = kUnset;
  bool is_atomic_ = false;
};

/// One cell: its last writer and its readers since.
struct Cell {
  Stamp written, read;

  /// The stamp that an access conflicts with, or null. Records the access.
  const Stamp* touch(const Moment& now, bool is_write, bool is_atomic) {
    const Stamp* conflict = nullptr;
    if (written.concurrent_with(now) && !(is_atomic && written.is_atomic())) conflict = &written;
    if (is_write && read.concurrent_with(now)) conflict = &read;
    if (conflict != nullptr) return conflict;
    if (!is_write) {
      read.add(now, false);
    } else if (is_atomic) {
      written.add(now, true);
    } else {
      written.set(now, false);
    }
    return nullptr;
  }
};

}  // namespace r1::simt
