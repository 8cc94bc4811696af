// Memory that is counted but not there: the programs' own code runs on it, and says what it would take.
#pragma once

#include <cstdint>
#include <memory>

#include "tensor/exec_context.h"

namespace r1 {

/// Addresses from here on belong to no block of a process: reading or writing them faults.
inline constexpr std::uintptr_t kFirstUnbackedAddress = std::uintptr_t{0xF000} << 48;
inline bool is_backed(const void* address) { return reinterpret_cast<std::uintptr_t>(address) < kFirstUnbackedAddress; }

/// Blocks up to max_backed_bytes are real, so that tables of ids and lengths, which kernels read before they split their work, can
/// be written and read. Larger ones are addresses alone. Together with a thread pool that runs no body (ThreadPool(-n)) every op
/// makes its checks and takes its scratch memory, and computes nothing.
class UnbackedMemory : public MemorySource {
 public:
  explicit UnbackedMemory(std::size_t max_backed_bytes) : max_backed_bytes_(max_backed_bytes), pages_(make_page_source(kCpuDevice)) {}
  Device device() const override { return kCpuDevice; }
  void* allocate(std::size_t bytes) override;
  void release(void* memory, std::size_t bytes) noexcept override;

 private:
  std::size_t max_backed_bytes_;
  std::unique_ptr<MemorySource> pages_;
  std::uintptr_t next_ = kFirstUnbackedAddress;
};

/// A backend on such memory, as it would run with num_threads (at least 1) threads; for kCuda ops/planned_cuda.h has the ops.
std::unique_ptr<ExecContext> make_unbacked_context(std::unique_ptr<UnbackedMemory> memory, int num_threads,
                                                   Backend backend = Backend::kCpu);

}  // namespace r1
