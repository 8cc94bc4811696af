#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>
#include <vector>

#include "base/error.h"

namespace r1 {
namespace {

TEST(ThreadPool, CoversTheRangeOnceInPartsThatNeverChange) {
  for (const int num_threads : {1, 2, 3, 5}) {
    ThreadPool pool(num_threads);
    for (const std::int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const std::int64_t multiple : {1, 8, 64}) {
        auto parts = [&] {
          std::mutex mutex;
          std::set<std::pair<std::int64_t, std::int64_t>> found;
          pool.parallel_for(
              count,
              [&](std::int64_t begin, std::int64_t end, int thread) {
                EXPECT_LT(begin, end);
                EXPECT_EQ(begin % multiple, 0);
                EXPECT_TRUE(end % multiple == 0 || end == count);
                EXPECT_LT(thread, num_threads);
                std::lock_guard lock(mutex);
                found.emplace(begin, end);
              },
              multiple);
          return found;
        };
        const auto first = parts();
        std::int64_t covered = 0;
        for (const auto& [begin, end] : first) {
          EXPECT_EQ(begin, covered);
          covered = end;
        }
        EXPECT_EQ(covered, count);
        EXPECT_EQ(parts(), first);
      }
    }
  }
}

TEST(ThreadPool, PartTRunsOnThreadT) {
  ThreadPool pool(3);
  std::vector<std::int64_t> begin_of(3, -1);
  pool.parallel_for(30, [&](std::int64_t begin, std::int64_t, int thread) { begin_of[static_cast<std::size_t>(thread)] = begin; });
  EXPECT_EQ(begin_of, (std::vector<std::int64_t>{0, 10, 20}));
}

TEST(ThreadPool, RethrowsTheErrorOfABodyAndGoesOn) {
  ThreadPool pool(4);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THROW(pool.parallel_for(4,
                                   [](std::int64_t begin, std::int64_t, int) {
                                     if (begin == 2) throw std::runtime_error("body");
                                   }),
                 std::runtime_error);
    std::atomic<int> calls = 0;
    pool.parallel_for(4, [&](std::int64_t begin, std::int64_t end, int) { calls += static_cast<int>(end - begin); });
    EXPECT_EQ(calls, 4);
  }
}

TEST(ThreadPool, ARegionInsideARegionRunsOnItsOwnThread) {
  ThreadPool pool(2);
  std::atomic<int> sum = 0;
  pool.parallel_for(2, [&](std::int64_t, std::int64_t, int) {
    pool.parallel_for(10, [&](std::int64_t begin, std::int64_t end, int) { sum += static_cast<int>(end - begin); });
  });
  EXPECT_EQ(sum, 20);
  EXPECT_THROW(pool.run_on_all([&](std::int64_t, std::int64_t, int) { pool.run_on_all([](std::int64_t, std::int64_t, int) {}); }), Error);
}

TEST(ThreadPool, TheBarrierSeparatesPhases) {
  constexpr int kThreads = 4, kPhases = 200;
  ThreadPool pool(kThreads);
  std::vector<int> phase_of(kThreads);
  std::atomic<int> violations = 0;
  pool.run_on_all([&](std::int64_t, std::int64_t, int thread) {
    for (int phase = 1; phase <= kPhases; ++phase) {
      phase_of[static_cast<std::size_t>(thread)] = phase;
      pool.barrier();
      for (const int other : phase_of) violations += other != phase;
      pool.barrier();
    }
  });
  EXPECT_EQ(violations, 0);
}

TEST(ThreadPool, ManyShortRegionsDoNotHang) {
  ThreadPool pool(3);
  std::atomic<int> calls = 0;
  for (int i = 0; i < 5000; ++i) pool.parallel_for(3, [&](std::int64_t, std::int64_t, int) { ++calls; });
  EXPECT_EQ(calls, 15'000);
}

TEST(AvailableProcessors, IsAtLeastOne) { EXPECT_GE(available_processors(), 1); }

}  // namespace
}  // namespace r1
