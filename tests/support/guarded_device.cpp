#include "tests/support/guarded_device.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <mutex>

namespace r1::test {
namespace {

class GuardedSource : public MemorySource {
 public:
  explicit GuardedSource(std::size_t region_bytes) : region_bytes_(region_bytes) {
    void* region = ::mmap(nullptr, region_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED) fail(ErrorKind::kMemory, "guarded device: cannot reserve {} bytes: {}", region_bytes, std::strerror(errno));
    region_ = static_cast<std::byte*>(region);
  }
  ~GuardedSource() override { ::munmap(region_, region_bytes_); }

  Device device() const override { return kCpuDevice; }

  void* allocate(std::size_t bytes) override {
    std::lock_guard lock(mutex_);
    const std::size_t rounded = (bytes + kPage - 1) / kPage * kPage;
    if (rounded > region_bytes_ - used_) {
      fail(ErrorKind::kMemory, "guarded device: {} bytes asked for, {} of {} in use", bytes, used_, region_bytes_);
    }
    std::byte* memory = region_ + used_;
    used_ += rounded;
    if (open_scopes_ > 0) protect(memory, rounded, PROT_READ | PROT_WRITE);  // scratch that an op asks for
    return memory;
  }

  void release(void* memory, std::size_t bytes) noexcept override { ::madvise(memory, bytes, MADV_DONTNEED); }

  void begin_op() override {
    std::lock_guard lock(mutex_);
    if (open_scopes_++ == 0) protect(region_, used_, PROT_READ | PROT_WRITE);
  }

  void end_op() noexcept override {
    std::lock_guard lock(mutex_);
    if (--open_scopes_ == 0) protect(region_, used_, PROT_NONE);
  }

 private:
  static constexpr std::size_t kPage = 4096;

  static void protect(std::byte* memory, std::size_t bytes, int access) {
    if (bytes == 0) return;
    R1_ASSERT(::mprotect(memory, bytes, access) == 0, "guarded device: mprotect failed");
  }

  std::mutex mutex_;
  std::byte* region_ = nullptr;
  std::size_t region_bytes_, used_ = 0;
  int open_scopes_ = 0;
};

}  // namespace

std::unique_ptr<MemorySource> make_guarded_source(std::size_t region_bytes) { return std::make_unique<GuardedSource>(region_bytes); }

std::unique_ptr<ExecContext> make_guarded_context(int num_threads, Backend backend) {
  return std::make_unique<ExecContext>(backend, make_guarded_source(std::size_t{4} << 30), num_threads);
}

}  // namespace r1::test
