#include "tensor/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/strings.h"
#include "tensor/page_limit.h"

namespace r1 {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::atomic<std::int64_t> page_limit{0}, pages_taken{0};

class PageSource : public MemorySource {
 public:
  explicit PageSource(Device device) : device_(device) {}
  Device device() const override { return device_; }

  void* allocate(std::size_t bytes) override {
    const std::int64_t limit = page_limit.load(std::memory_order_relaxed);
    const bool is_allowed = limit == 0 || pages_taken.load(std::memory_order_relaxed) + static_cast<std::int64_t>(bytes) <= limit;
    void* memory = is_allowed ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (memory == MAP_FAILED) {
      fail(ErrorKind::kMemory,
           "out of memory: asked for {} ({}); smaller batches, shorter sequences or more ranks take less; --plan shows what takes how much",
           format_bytes(static_cast<double>(bytes)), is_allowed ? std::strerror(errno) : "the machine has no more");
    }
    pages_taken.fetch_add(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
    if (bytes >= kHugePage) ::madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
  }

  void release(void* memory, std::size_t bytes) noexcept override {
    ::munmap(memory, bytes);
    pages_taken.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
  }

 private:
  Device device_;
};

// Small blocks: powers of two from 4 KiB. Over 1 MiB: eighths of a power of two, so that at most 1/8 is unused.
std::size_t size_class(std::size_t bytes) {
  bytes = std::max<std::size_t>(bytes, 4096);
  const std::size_t power = std::bit_ceil(bytes);
  if (power <= (std::size_t{1} << 20)) return power;
  const std::size_t step = power / 16;
  return (bytes + step - 1) / step * step;
}

/// Whether there was anything to give back.
bool give_back(std::map<std::size_t, std::vector<void*>>& free_blocks, MemorySource& source, AllocatorStats& stats) {
  const std::int64_t before = stats.bytes_reserved;
  for (auto& [size, blocks] : free_blocks) {
    for (void* memory : blocks) source.release(memory, size);
    stats.bytes_reserved -= static_cast<std::int64_t>(size * blocks.size());
    blocks.clear();
  }
  return stats.bytes_reserved < before;
}

}  // namespace

void set_page_limit(std::int64_t bytes) { page_limit.store(bytes, std::memory_order_relaxed); }

std::unique_ptr<MemorySource> make_page_source(Device device) { return std::make_unique<PageSource>(device); }

CachingAllocator::CachingAllocator(std::unique_ptr<MemorySource> source, FreeBlocks free_blocks)
    : source_(std::move(source)), policy_(free_blocks) {}

CachingAllocator::~CachingAllocator() { trim(); }

CachingAllocator::Block CachingAllocator::allocate(std::size_t bytes) {
  Block block{nullptr, size_class(bytes)};
  const auto count = [&] {
    stats_.bytes_in_use += static_cast<std::int64_t>(block.bytes);
    stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.bytes_in_use);
    return block;
  };
  {
    std::lock_guard lock(mutex_);
    // A block that is a quarter too large is better than a new one: batches of many lengths would fill the memory with classes.
    const std::size_t largest = block.bytes + block.bytes / 4;
    for (auto cached = free_blocks_.lower_bound(block.bytes); cached != free_blocks_.end() && cached->first <= largest; ++cached) {
      if (cached->second.empty()) continue;
      block = {cached->second.back(), cached->first};
      cached->second.pop_back();
      return count();
    }
  }
  block.memory = take_from_source(block.bytes);
  std::lock_guard lock(mutex_);
  ++stats_.source_allocations;
  stats_.bytes_reserved += static_cast<std::int64_t>(block.bytes);
  return count();
}

// Without the lock: a reclaimer frees tensors of this allocator.
void* CachingAllocator::take_from_source(std::size_t bytes) {
  try {
    return source_->allocate(bytes);
  } catch (const Error&) {  // what is kept for reuse may be room enough
    std::unique_lock lock(mutex_);
    const bool has_given = policy_ == FreeBlocks::kGivenBack && give_back(free_blocks_, *source_, stats_);
    lock.unlock();
    if (!has_given && !reclaim()) throw;
  }
  try {
    return source_->allocate(bytes);
  } catch (const Error&) {
    if (!reclaim()) throw;
  }
  return source_->allocate(bytes);
}

bool CachingAllocator::reclaim() {
  std::vector<std::shared_ptr<Reclaimer>> all;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(reclaimers_, [](const auto& reclaimer) { return reclaimer.expired(); });
    for (const auto& reclaimer : reclaimers_) all.push_back(reclaimer.lock());
  }
  bool has_freed = false;
  for (const auto& reclaimer : all) has_freed = (reclaimer != nullptr && (*reclaimer)()) || has_freed;
  if (has_freed && policy_ == FreeBlocks::kGivenBack) trim();  // what they have freed of this allocator's
  return has_freed;
}

std::shared_ptr<void> CachingAllocator::add_reclaimer(Reclaimer reclaimer) {
  auto added = std::make_shared<Reclaimer>(std::move(reclaimer));
  std::lock_guard lock(mutex_);
  reclaimers_.push_back(added);
  return added;
}

void CachingAllocator::release(Block block) noexcept {
  std::lock_guard lock(mutex_);
  stats_.bytes_in_use -= static_cast<std::int64_t>(block.bytes);
  free_blocks_[block.bytes].push_back(block.memory);
}

AllocatorStats CachingAllocator::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.bytes_in_use;
}

void CachingAllocator::trim() {
  std::lock_guard lock(mutex_);
  give_back(free_blocks_, *source_, stats_);
}

CachingAllocator& host_allocator() {
  static auto* allocator = new CachingAllocator(make_page_source(kHostDevice));  // outlives every static tensor
  return *allocator;
}

}  // namespace r1
