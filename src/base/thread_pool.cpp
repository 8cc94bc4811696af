#include "base/thread_pool.h"

#include "base/error.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace r1 {
namespace {

void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Regions follow each other within microseconds during a step: spin shortly before sleeping. With more threads than
// processors (tests, several ranks on one machine) spinning would steal the time of those who work.
constexpr int kSpins = 4000;

thread_local bool t_inside_region = false;

}  // namespace

struct ThreadPool::Impl {
  int num_threads = 1;
  bool is_idle = false;  // bodies are not called
  int spins = kSpins;
  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake, finished;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<int> running{0};
  std::atomic<bool> stop{false};
  const RangeBody* body = nullptr;
  std::mutex error_mutex;
  std::exception_ptr error;
  std::atomic<int> barrier_count{0};
  std::atomic<std::uint64_t> barrier_generation{0};

  void call(int thread) {
    t_inside_region = true;
    try {
      (*body)(thread, thread + 1, thread);
    } catch (...) {
      std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
    t_inside_region = false;
  }

  void work(int thread) {
    std::uint64_t seen = 0;
    while (true) {
      for (int i = 0; i < spins && generation.load(std::memory_order_acquire) == seen && !stop.load(std::memory_order_relaxed); ++i)
        pause_cpu();
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load() != seen || stop.load(); });
      }
      if (stop.load()) return;
      seen = generation.load(std::memory_order_acquire);
      call(thread);
      if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex);
        finished.notify_one();
      }
    }
  }
};

ThreadPool::ThreadPool(int num_threads) : impl_(std::make_unique<Impl>()) {
  impl_->is_idle = num_threads < 0;
  impl_->num_threads = num_threads != 0 ? std::abs(num_threads) : available_processors();
  if (impl_->is_idle) return;
  if (impl_->num_threads > available_processors()) impl_->spins = 0;
  for (int thread = 1; thread < impl_->num_threads; ++thread) {
    impl_->workers.emplace_back([impl = impl_.get(), thread] { impl->work(thread); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::num_threads() const { return impl_->num_threads; }

void ThreadPool::run_on_all(RangeBody body) {
  if (impl_->is_idle) return;
  R1_ASSERT(!t_inside_region, "run_on_all does not nest: its bodies may wait for each other");
  if (impl_->num_threads == 1) {
    body(0, 1, 0);
    return;
  }
  impl_->body = &body;
  impl_->error = nullptr;
  impl_->running.store(impl_->num_threads - 1, std::memory_order_release);
  {
    std::lock_guard lock(impl_->mutex);
    impl_->generation.fetch_add(1, std::memory_order_release);
  }
  impl_->wake.notify_all();
  impl_->call(0);
  for (int i = 0; i < impl_->spins && impl_->running.load(std::memory_order_acquire) != 0; ++i) pause_cpu();
  if (impl_->running.load(std::memory_order_acquire) != 0) {
    std::unique_lock lock(impl_->mutex);
    impl_->finished.wait(lock, [&] { return impl_->running.load() == 0; });
  }
  if (impl_->error) std::rethrow_exception(impl_->error);
}

void ThreadPool::parallel_for(std::int64_t count, RangeBody body, std::int64_t multiple_of) {
  if (count <= 0 || impl_->is_idle) return;
  const std::int64_t units = (count + multiple_of - 1) / multiple_of;
  if (impl_->num_threads == 1 || units == 1 || t_inside_region) {
    body(0, count, 0);
    return;
  }
  const std::int64_t threads = impl_->num_threads;
  run_on_all([&](std::int64_t thread, std::int64_t, int) {
    const std::int64_t begin = std::min(count, units * thread / threads * multiple_of);
    const std::int64_t end = std::min(count, units * (thread + 1) / threads * multiple_of);
    if (begin < end) body(begin, end, static_cast<int>(thread));
  });
}

void ThreadPool::barrier() {
  if (impl_->num_threads == 1) return;
  const std::uint64_t generation = impl_->barrier_generation.load(std::memory_order_acquire);
  if (impl_->barrier_count.fetch_add(1, std::memory_order_acq_rel) + 1 == impl_->num_threads) {
    impl_->barrier_count.store(0, std::memory_order_relaxed);
    impl_->barrier_generation.fetch_add(1, std::memory_order_release);
    impl_->barrier_generation.notify_all();
    return;
  }
  for (int i = 0; i < impl_->spins && impl_->barrier_generation.load(std::memory_order_acquire) == generation; ++i) pause_cpu();
  while (impl_->barrier_generation.load(std::memory_order_acquire) == generation) {
    impl_->barrier_generation.wait(generation, std::memory_order_acquire);
  }
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace r1
