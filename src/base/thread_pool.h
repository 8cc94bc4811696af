// Threads for one process. Work is cut statically, so which thread does what never depends on timing.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace r1 {

/// Non-owning reference to a callable: no allocation at the call of parallel_for.
class RangeBody {
 public:
  template <typename Body>
  requires(!std::is_same_v<std::remove_cvref_t<Body>, RangeBody>) RangeBody(Body&& body)  // NOLINT(google-explicit-constructor)
      : object_(const_cast<void*>(static_cast<const void*>(&body))),
        call_([](void* object, std::int64_t begin, std::int64_t end, int thread) {
          (*static_cast<std::remove_reference_t<Body>*>(object))(begin, end, thread);
        }) {}
  void operator()(std::int64_t begin, std::int64_t end, int thread) const { call_(object_, begin, end, thread); }

 private:
  void* object_;
  void (*call_)(void*, std::int64_t, std::int64_t, int);
};

/// A fixed set of threads, the caller being thread 0. One parallel region at a time; a parallel_for
/// inside a region runs on the calling thread alone, run_on_all inside one is an error. An exception of a body is rethrown at the caller
/// after all threads are done.
class ThreadPool {
 public:
  /// num_threads >= 1; 0 takes the processors this process may run on; -n is a pool of n threads that runs no body (plans).
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const;

  /// Calls body(begin, end, thread) on consecutive, nearly equal parts of [0, count), part t on thread t. Borders are
  /// multiples of `multiple_of` (but for count itself). Parts may be empty; then body is not called for them.
  void parallel_for(std::int64_t count, RangeBody body, std::int64_t multiple_of = 1);

  /// Calls body(thread, thread + 1, thread) once on every thread at the same time: for code that brings its own
  /// partition and barriers.
  void run_on_all(RangeBody body);

  /// Waits until all threads of the current run_on_all region have arrived.
  void barrier();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Number of processors this process may use (affinity mask).
int available_processors();

}  // namespace r1
