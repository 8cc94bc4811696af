// Memory of tensors: where it comes from, and a cache in front of it so that a warm step allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "tensor/device.h"
#include "tensor/recorded_work.h"

namespace r1 {

/// Raw memory of one device. Thread-safe.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  virtual Device device() const = 0;
  /// At least `bytes` bytes, 64-byte aligned. Throws Error(kMemory) with the request and what is in use.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /// Around every op call: the guarded test device opens and closes its pages here.
  virtual void begin_op() {}
  virtual void end_op() noexcept {}
  /// Null where the device cannot keep work (the CPU).
  virtual WorkRecorder* recorder() { return nullptr; }
  /// Another source of the same device and stream; null where there is no recorder.
  virtual std::unique_ptr<MemorySource> sibling() const { return nullptr; }
};

/// Anonymous pages; large blocks ask for huge pages.
std::unique_ptr<MemorySource> make_page_source(Device device);

struct AllocatorStats {
  std::int64_t bytes_in_use = 0;        // handed out now
  std::int64_t peak_bytes = 0;          // highest bytes_in_use since the last reset_peak
  std::int64_t bytes_reserved = 0;      // taken from the source, cached ones included
  std::int64_t source_allocations = 0;  // calls of MemorySource::allocate: constant in a warm step
};

/// Keeps freed blocks by size class and hands them out again. A block may be reused at once: ops run in stream order.
/// When its source has no more, what it keeps goes back, then what others on the same device can do without (add_reclaimer).
/// Thread-safe. Must outlive its blocks.
class CachingAllocator {
 public:
  enum class FreeBlocks : std::uint8_t {
    kGivenBack,  // when memory runs out
    kPinned,     // only by trim(): recorded work still writes to them
  };
  explicit CachingAllocator(std::unique_ptr<MemorySource> source, FreeBlocks free_blocks = FreeBlocks::kGivenBack);
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  struct Block {
    void* memory = nullptr;
    std::size_t bytes = 0;  // of the size class
  };
  Block allocate(std::size_t bytes);
  void release(Block block) noexcept;

  Device device() const { return source_->device(); }
  MemorySource& source() { return *source_; }
  AllocatorStats stats() const;
  void reset_peak();
  /// Gives cached blocks back to the source.
  void trim();

  /// Asked, in the order of their making, when the source has no more: frees what can be made again, and says whether it did. May use this
  /// allocator. The thread is that of the allocation.
  using Reclaimer = std::function<bool()>;
  /// Until the result is destroyed.
  std::shared_ptr<void> add_reclaimer(Reclaimer reclaimer);

 private:
  void* take_from_source(std::size_t bytes);
  bool reclaim();

  std::unique_ptr<MemorySource> source_;
  FreeBlocks policy_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_blocks_;
  std::vector<std::weak_ptr<Reclaimer>> reclaimers_;
  AllocatorStats stats_;
};

/// The process's allocator of host memory (always readable).
CachingAllocator& host_allocator();

}  // namespace r1
