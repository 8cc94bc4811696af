// Named zones of time, per thread 0: what a step spends where. Costs two clock reads a zone; off by default.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace r1 {

/// Seconds on the monotonic clock.
inline double now_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

namespace profile {

struct ZoneTotal {
  std::string name;
  double seconds = 0;  // without the zones inside it
  long long calls = 0;
};

void set_enabled(bool on);
bool enabled();
/// Totals since the last reset, the longest first. Only zones of the thread that calls Zone are counted: the main thread.
std::vector<ZoneTotal> totals();
void reset();

/// A zone lasts from construction to destruction; name must be a string literal.
class Zone {
 public:
  explicit Zone(const char* name);
  ~Zone();
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;

 private:
  bool active_;
};

}  // namespace profile
}  // namespace r1
