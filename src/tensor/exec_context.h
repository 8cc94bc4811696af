// Where and with what an op runs: the first argument of every op.
#pragma once

#include <memory>

#include "base/thread_pool.h"
#include "tensor/allocator.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

namespace r1 {

enum class Backend : std::uint8_t {
  kReference,  // plain loops, sums in double: the specification, and the yardstick of accuracy
  kCpu,        // vectorised; its order of sums is a contract
  kCuda,
};

/// The device's memory and threads. Made once per process (or per test); ops take it by const reference.
/// Scratch memory comes from allocator(): in a warm step every request is served from its cache.
class ExecContext {
 public:
  /// num_threads 0 = all processors of this process.
  ExecContext(Backend backend, std::unique_ptr<MemorySource> source, int num_threads,
              CachingAllocator::FreeBlocks free_blocks = CachingAllocator::FreeBlocks::kGivenBack)
      : backend_(backend),
        allocator_(std::make_unique<CachingAllocator>(std::move(source), free_blocks)),
        threads_(std::make_unique<ThreadPool>(num_threads)) {}

  Backend backend() const { return backend_; }
  Device device() const { return allocator_->device(); }
  CachingAllocator& allocator() const { return *allocator_; }
  ThreadPool& threads() const { return *threads_; }

  /// Null where the device cannot keep work (the CPU).
  WorkRecorder* recorder() const { return allocator_->source().recorder(); }
  /// The same device and stream with an allocator of its own, whose free blocks nobody else gets: for recorded work. Needs a recorder.
  std::unique_ptr<ExecContext> with_own_allocator() const {
    return std::make_unique<ExecContext>(backend_, allocator_->source().sibling(), 1, CachingAllocator::FreeBlocks::kPinned);
  }

  /// Uninitialised tensor on the device.
  Tensor empty(Shape shape, DType dtype = DType::kF32) const { return Tensor(*allocator_, shape, dtype); }

 private:
  Backend backend_;
  std::unique_ptr<CachingAllocator> allocator_;
  std::unique_ptr<ThreadPool> threads_;
};

/// The CPU backend on ordinary memory.
inline std::unique_ptr<ExecContext> make_cpu_context(int num_threads, Backend backend = Backend::kCpu) {
  return std::make_unique<ExecContext>(backend, make_page_source(kCpuDevice), num_threads);
}

}  // namespace r1
