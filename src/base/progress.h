// A count of what this process has got done, for the watchdog: a count that stands still for long is a hang.
#pragma once

#include <atomic>
#include <cstdint>

namespace r1 {

inline std::atomic<std::uint64_t> g_progress_count{0};

/// Called by every op; code that works for seconds without ops (a tokenizer, a grader) calls it per item. Thread-safe.
inline void count_progress() { g_progress_count.fetch_add(1, std::memory_order_relaxed); }
inline std::uint64_t progress_count() { return g_progress_count.load(std::memory_order_relaxed); }

inline std::atomic<int> g_device_waits{0};

/// The calling thread stands still for a device until the end of the scope. Thread-safe.
class DeviceWait {
 public:
  DeviceWait() { g_device_waits.fetch_add(1, std::memory_order_relaxed); }
  ~DeviceWait() { g_device_waits.fetch_sub(1, std::memory_order_relaxed); }
  DeviceWait(const DeviceWait&) = delete;
  DeviceWait& operator=(const DeviceWait&) = delete;
};
inline bool is_waiting_for_device() { return g_device_waits.load(std::memory_order_relaxed) > 0; }

}  // namespace r1
