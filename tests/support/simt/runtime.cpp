#include "tests/support/simt/runtime.h"

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/rng.h"
#include "fmt/format.h"
#include "tests/support/simt/fiber.h"
#include "tests/support/simt/stamps.h"

namespace r1::simt {

struct SharedRegion {
  const char* name = "";
  std::size_t element_bytes = 0, count = 0;
  std::vector<std::byte> bytes;
  std::vector<Cell> cells;

  void allocate(const char* new_name, std::size_t new_element_bytes, std::size_t new_count) {
    name = new_name;
    element_bytes = new_element_bytes;
    count = new_count;
    bytes.assign(element_bytes * count + 16, std::byte{0xCD});
    cells.assign(count, Cell{});
  }
};

namespace {

enum class Status : std::uint8_t { kNew, kReady, kAtBarrier, kAtWarpOperation, kDone };

struct Thread {
  Status status = Status::kNew;
  std::uint16_t warp_barriers = 0;
  std::uint32_t parity = 0;  // of the warp's exchanges
  Fiber* fiber = nullptr;    // while it has begun and not ended
  Site site;                 // where it waits
};

struct Warp {
  unsigned arrived = 0;
  WarpOperation operation{};
  Site site;
  std::uint64_t values[2][kWarpSize] = {};
};

bool is_same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

std::string place(const Site& site) {
  const std::string_view path = site.file_name();
  const std::size_t slash = path.rfind('/');
  return fmt::format("{}:{}", path.substr(slash == std::string_view::npos ? 0 : slash + 1), site.line());
}

class Machine {
 public:
  static Machine& get() {
    static Machine machine;
    return machine;
  }

  void run(const char* kernel, const LaunchShape& shape, const std::function<void()>& body) {
    kernel_ = kernel;
    shape_ = shape;
    body_ = &body;
    num_threads_ = shape.block.x * shape.block.y * shape.block.z;
    const std::uint64_t num_blocks = std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
    if (num_threads_ == 0 || num_threads_ > 1024 || num_threads_ % kWarpSize != 0) {
      throw Error(fmt::format("{}: a block of {} threads: expected 32 to 1,024, a multiple of 32", kernel, num_threads_));
    }
    if (num_blocks == 0 || shape.grid.x > 0x7FFFFFFFu || shape.grid.y > 65535 || shape.grid.z > 65535) {
      throw Error(fmt::format("{}: a grid of {} x {} x {} blocks cannot be launched", kernel, shape.grid.x, shape.grid.y, shape.grid.z));
    }
    if (shape.dynamic_shared_bytes > 227 * 1024)
      throw Error(fmt::format("{}: {} bytes of shared memory", kernel, shape.dynamic_shared_bytes));
    current_block_size = shape.block;
    current_grid_size = shape.grid;
    global_cells_.clear();
    cached_line_ = nullptr;
    fault_.clear();
    ++stats_.launches;
    stats_.kernels.insert(kernel);
    std::vector<std::uint32_t> order(num_blocks);
    for (std::uint32_t b = 0; b < order.size(); ++b) order[b] = b;
    RandomStream random(schedule_.seed, "simt blocks", static_cast<std::uint64_t>(stats_.launches));
    if (schedule_.seed != 0) shuffle(std::span<std::uint32_t>(order), random);
    for (const std::uint32_t b : order) run_block(b);
  }

  void set_schedule(Schedule schedule) { schedule_ = schedule; }
  LaunchStats& stats() { return stats_; }

  [[noreturn]] void fault(const std::string& what, const Site& site) {
    throw Error(fmt::format("{}: block ({}, {}, {}), thread {} at {}: {}", kernel_, current_block.x, current_block.y, current_block.z,
                            thread_index_, place(site), what));
  }

  void barrier(const Site& site) {
    require_thread();
    Thread& self = threads_[thread_index_];
    self.site = site;
    if (num_at_barrier_ > 0 && !is_same(site, barrier_site_)) {
      fault(fmt::format("divergent barrier: other threads of the block wait at {}", place(barrier_site_)), site);
    }
    barrier_site_ = site;
    if (++num_at_barrier_ < num_threads_) {
      self.status = Status::kAtBarrier;
      continue_another();
      return;
    }
    num_at_barrier_ = 0;
    ++barriers_;
    for (std::uint32_t t = 0; t < num_threads_; ++t) {
      if (threads_[t].status == Status::kAtBarrier) make_ready(t);
    }
    if (schedule_.seed == 0) return;
    make_ready(thread_index_);  // the last one to arrive is not the first one to go on
    continue_another();
  }

  const std::uint64_t* exchange(WarpOperation operation, unsigned mask, std::uint64_t value, const Site& site) {
    require_thread();
    if (mask != 0xFFFFFFFFu) fault(fmt::format("warp operation with mask {:08x}: the emulation knows full warps alone", mask), site);
    Thread& self = threads_[thread_index_];
    Warp& warp = warps_[thread_index_ / kWarpSize];
    self.site = site;
    if (warp.arrived > 0 && (warp.operation != operation || !is_same(site, warp.site))) {
      fault(fmt::format("divergent warp operation: other lanes wait at {}", place(warp.site)), site);
    }
    warp.operation = operation;
    warp.site = site;
    std::uint64_t* values = warp.values[self.parity++ % 2];
    values[thread_index_ % kWarpSize] = value;
    if (++warp.arrived < kWarpSize) {
      self.status = Status::kAtWarpOperation;
      continue_another();
    } else {
      warp.arrived = 0;
      const std::uint32_t first = thread_index_ / kWarpSize * kWarpSize;
      for (std::uint32_t t = first; t < first + kWarpSize; ++t) {
        if (operation == WarpOperation::kSync) ++threads_[t].warp_barriers;
        if (threads_[t].status == Status::kAtWarpOperation) make_ready(t);
      }
    }
    return values;
  }

  // ---- memory

  void check_global(const void* address, std::size_t bytes, std::size_t alignment, Access access, const Site& site) {
    require_thread();
    const auto begin = reinterpret_cast<std::uintptr_t>(address);
    const auto range = allowed_.upper_bound(begin);
    if (range == allowed_.begin() || begin + bytes > std::prev(range)->second) {
      fault(fmt::format("{} of {} bytes outside of the tensors of this launch", access == Access::kRead ? "read" : "write", bytes), site);
    }
    if (begin % alignment != 0) fault(fmt::format("address {:#x} is not aligned to {} bytes", begin, alignment), site);
    const Moment now = moment();
    for (std::uintptr_t byte = begin; byte < begin + bytes;) {
      const std::uintptr_t line_index = byte / kLine;
      if (line_index != cached_line_index_ || cached_line_ == nullptr) {
        cached_line_ = &global_cells_[line_index];
        cached_line_index_ = line_index;
      }
      const std::uintptr_t end = std::min(begin + bytes, (line_index + 1) * kLine);
      if (bytes == 1) return;  // neighbouring bytes share a cell
      for (; byte < end; byte += 2) touch_global(cached_line_->cells[byte % kLine / 2], now, access, site);
    }
  }

  void allow(const void* begin, std::size_t bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    std::uintptr_t& end = allowed_[address];
    end = std::max(end, address + bytes);
    // A view inside of a larger one must not hide what lies behind it.
    for (auto& [first, last] : allowed_) {
      if (first < address && last > end) end = last;
      if (first > address && first < end && last < end) last = end;
    }
  }
  void forget() { allowed_.clear(); }
  using Ranges = std::map<std::uintptr_t, std::uintptr_t>;
  const Ranges& allowed() const { return allowed_; }
  void set_allowed(const Ranges& ranges) { allowed_ = ranges; }

  SharedRegion& shared_region(const void* key, const char* name, std::size_t element_bytes, std::size_t count) {
    SharedRegion& region = regions_[key];
    if (region.count == 0) {
      static_shared_bytes_ += element_bytes * count;
      if (static_shared_bytes_ > 48 * 1024)
        throw Error(fmt::format("{}: {} bytes of static shared memory, at most 49,152", kernel_, static_shared_bytes_));
      region.allocate(name, element_bytes, count);
    }
    return region;
  }

  SharedRegion& dynamic_region(std::size_t element_bytes) {
    SharedRegion& region = regions_[nullptr];
    if (region.count == 0) region.allocate("dynamic shared memory", element_bytes, shape_.dynamic_shared_bytes / element_bytes);
    return region;
  }

  std::byte* check_shared(SharedRegion& region, std::int64_t index, Access access, const Site& site) {
    require_thread();
    if (index < 0 || static_cast<std::size_t>(index) >= region.count) {
      fault(fmt::format("{}[{}] is outside of its {} elements", region.name, index, region.count), site);
    }
    Cell& cell = region.cells[static_cast<std::size_t>(index)];
    if (access != Access::kWrite && !cell.written.is_set())
      fault(fmt::format("{}[{}] is read before it was written", region.name, index), site);
    if (const Stamp* other = cell.touch(moment(), access != Access::kRead, access == Access::kAtomic)) {
      fault(fmt::format("race on {}[{}] with thread {}: no barrier lies between", region.name, index, other->thread()), site);
    }
    return region.bytes.data() + static_cast<std::size_t>(index) * region.element_bytes;
  }

 private:
  static constexpr std::uintptr_t kLine = 64;
  struct Line {
    Cell cells[kLine / 2];  // one for 2 bytes
  };

  void touch_global(Cell& cell, const Moment& now, Access access, const Site& site) {
    if (const Stamp* other = cell.touch(now, access != Access::kRead, access == Access::kAtomic)) {
      fault(fmt::format("race on global memory with block {}, thread {}: nothing orders the two accesses", other->block(), other->thread()),
            site);
    }
  }

  Moment moment() const {
    return {block_index_, barriers_, threads_[thread_index_].warp_barriers, static_cast<std::uint16_t>(thread_index_)};
  }

  void require_thread() const {
    if (!is_in_block_) throw Error("simt: a device function was called outside of a launch");
  }

  void run_block(std::uint32_t block) {
    block_index_ = block;
    current_block = {block % shape_.grid.x, block / shape_.grid.x % shape_.grid.y, block / shape_.grid.x / shape_.grid.y};
    threads_.assign(num_threads_, Thread{});
    warps_.assign(num_threads_ / kWarpSize, Warp{});
    regions_.clear();
    static_shared_bytes_ = 0;
    barriers_ = 0;
    num_at_barrier_ = 0;
    num_done_ = 0;
    ready_.clear();
    for (std::uint32_t t = 0; t < num_threads_; ++t) ready_.push_back(t);
    stats_.threads += num_threads_;
    random_ = std::make_unique<RandomStream>(schedule_.seed, "simt threads", static_cast<std::uint64_t>(stats_.launches) << 32 | block);
    is_in_block_ = true;
    running_ = &Fiber::host();
    switch_to(take_free_fiber(), pick());
    is_in_block_ = false;
    for (Thread& thread : threads_) {  // left behind by a fault
      if (thread.fiber == nullptr) continue;
      thread.fiber->reset();
      free_fibers_.push_back(thread.fiber);
    }
    if (!fault_.empty()) throw Error(fault_);
  }

  // ---- threads

  void make_ready(std::uint32_t t) {
    threads_[t].status = Status::kReady;
    ready_.push_back(t);
  }

  std::uint32_t pick() {
    std::size_t at = 0;
    if (schedule_.seed != 0) {
      at = random_->below(ready_.size());
      std::swap(ready_[at], ready_.front());
    }
    const std::uint32_t t = ready_.front();
    ready_.pop_front();
    return t;
  }

  void select(std::uint32_t t) {
    thread_index_ = t;
    const Extent3& b = shape_.block;
    current_thread = {t % b.x, t / b.x % b.y, t / b.x / b.y};
  }

  Fiber* take_free_fiber() {
    if (free_fibers_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>([this] { run_threads(); }));
      return fibers_.back().get();
    }
    Fiber* fiber = free_fibers_.back();
    free_fibers_.pop_back();
    return fiber;
  }

  /// Continues thread t on its fiber; a new thread begins on `fresh`.
  void switch_to(Fiber* fresh, std::uint32_t t) {
    if (threads_[t].fiber == nullptr) threads_[t].fiber = fresh;
    select(t);
    switch_fiber(*threads_[t].fiber);
  }

  void switch_fiber(Fiber& to) {
    Fiber& from = *running_;
    running_ = &to;
    ++stats_.switches;
    Fiber::switch_to(from, to);
  }

  /// The running thread waits: another one goes on until this one is ready and picked.
  void continue_another() {
    const std::uint32_t self = thread_index_;
    if (ready_.empty()) {
      report_deadlock();
      switch_fiber(Fiber::host());
    }
    const std::uint32_t next = pick();
    if (next != self) switch_to(threads_[next].fiber == nullptr ? take_free_fiber() : nullptr, next);
    select(self);
  }

  /// The body of every fiber: runs the selected thread, then new ones, until another fiber has to go on.
  void run_threads() {
    while (true) {
      const std::uint32_t self = thread_index_;
      try {
        (*body_)();
      } catch (const std::exception& error) {
        fault_ = error.what();
      }
      Fiber* fiber = threads_[self].fiber;
      threads_[self].fiber = nullptr;
      threads_[self].status = Status::kDone;
      ++num_done_;
      if (fault_.empty() && ready_.empty() && num_done_ < num_threads_) report_deadlock();
      if (!fault_.empty() || num_done_ == num_threads_) {
        free_fibers_.push_back(fiber);
        switch_fiber(Fiber::host());
        continue;  // a later block's thread
      }
      const std::uint32_t next = pick();
      if (threads_[next].fiber == nullptr) {
        threads_[next].fiber = fiber;
        select(next);
        continue;
      }
      free_fibers_.push_back(fiber);
      switch_to(nullptr, next);
    }
  }

  void report_deadlock() {
    for (std::uint32_t t = 0; t < num_threads_; ++t) {
      const Thread& thread = threads_[t];
      if (thread.status != Status::kAtBarrier && thread.status != Status::kAtWarpOperation) continue;
      fault_ =
          fmt::format("{}: block ({}, {}, {}): divergent {}: thread {} waits at {} and {} of {} threads have returned or wait elsewhere",
                      kernel_, current_block.x, current_block.y, current_block.z,
                      thread.status == Status::kAtBarrier ? "barrier" : "warp operation", t, place(thread.site),
                      num_threads_ - (thread.status == Status::kAtBarrier ? num_at_barrier_ : warps_[t / kWarpSize].arrived), num_threads_);
      return;
    }
  }

  const char* kernel_ = "";
  LaunchShape shape_;
  const std::function<void()>* body_ = nullptr;
  Schedule schedule_;
  LaunchStats stats_;
  std::string fault_;

  std::uint32_t num_threads_ = 0, block_index_ = 0, thread_index_ = 0;
  std::uint32_t barriers_ = 0, num_at_barrier_ = 0, num_done_ = 0;
  bool is_in_block_ = false;
  Site barrier_site_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::deque<std::uint32_t> ready_;
  std::unique_ptr<RandomStream> random_;

  Fiber* running_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> free_fibers_;

  std::map<const void*, SharedRegion> regions_;
  std::size_t static_shared_bytes_ = 0;
  std::map<std::uintptr_t, std::uintptr_t> allowed_;
  std::unordered_map<std::uintptr_t, Line> global_cells_;
  Line* cached_line_ = nullptr;
  std::uintptr_t cached_line_index_ = 0;
};

}  // namespace

void set_schedule(Schedule schedule) { Machine::get().set_schedule(schedule); }
static Recording* current_recording = nullptr;

void run_kernel(const char* kernel, const LaunchShape& shape, const std::function<void()>& body) {
  if (keep([kernel, shape, body, ranges = Machine::get().allowed()] {
        Machine::get().set_allowed(ranges);
        Machine::get().run(kernel, shape, body);
        Machine::get().forget();
      })) {
    return;
  }
  Machine::get().run(kernel, shape, body);
}
void record_into(Recording* recording) { current_recording = recording; }
bool keep(std::function<void()> call) {
  if (current_recording == nullptr) return false;
  current_recording->push_back(std::move(call));
  return true;
}
const LaunchStats& launch_stats() { return Machine::get().stats(); }
void barrier(const Site& site) { Machine::get().barrier(site); }
const std::uint64_t* exchange(WarpOperation operation, unsigned mask, std::uint64_t value, const Site& site) {
  return Machine::get().exchange(operation, mask, value, site);
}
void check_global(const void* address, std::size_t bytes, std::size_t alignment, Access access, const Site& site) {
  Machine::get().check_global(address, bytes, alignment, access, site);
}
void allow_global(const void* begin, std::size_t bytes) { Machine::get().allow(begin, bytes); }
void forget_global() { Machine::get().forget(); }
SharedRegion& shared_region(const void* key, const char* name, std::size_t element_bytes, std::size_t count) {
  return Machine::get().shared_region(key, name, element_bytes, count);
}
SharedRegion& dynamic_shared_region(std::size_t element_bytes) { return Machine::get().dynamic_region(element_bytes); }
std::byte* check_shared(SharedRegion& region, std::int64_t index, Access access, const Site& site) {
  return Machine::get().check_shared(region, index, access, site);
}

}  // namespace r1::simt
