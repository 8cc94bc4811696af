#include "tensor/unbacked_memory.h"

#include "base/error.h"

namespace r1 {

void* UnbackedMemory::allocate(std::size_t bytes) {
  if (bytes <= max_backed_bytes_) return pages_->allocate(bytes);
  R1_ASSERT(bytes <= UINTPTR_MAX - next_, "a plan of more memory than there are addresses");
  void* memory = reinterpret_cast<void*>(next_);  // NOLINT(performance-no-int-to-ptr): never read or written
  next_ += bytes;
  return memory;
}

void UnbackedMemory::release(void* memory, std::size_t bytes) noexcept {
  if (is_backed(memory)) pages_->release(memory, bytes);
}

std::unique_ptr<ExecContext> make_unbacked_context(std::unique_ptr<UnbackedMemory> memory, int num_threads, Backend backend) {
  R1_ASSERT(num_threads >= 1, "a plan needs the number of threads");
  return std::make_unique<ExecContext>(backend, std::move(memory), -num_threads);
}

}  // namespace r1
