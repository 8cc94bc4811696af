// Memory of tensors: where it comes from, and a cache in front of it so that a warm step allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
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
/// Thread-safe. Must outlive its blocks.
class CachingAllocator {
 public:
  explicit CachingAllocator(std::unique_ptr<MemorySource> source);
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

 private:
  std::unique_ptr<MemorySource> source_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_blocks_;
  AllocatorStats stats_;
};

/// The process's allocator of host memory (always readable).
CachingAllocator& host_allocator();

}  // namespace r1
