#include "base/profile.h"

#include <algorithm>
#include <cstring>

#include "base/progress.h"

namespace r1::profile {
namespace {

struct Entry {
  const char* name;
  double seconds = 0;
  long long calls = 0;
};

bool g_enabled = false;
thread_local std::vector<Entry> t_entries;
thread_local std::vector<std::pair<std::size_t, double>> t_open;  // index of the entry, start of its own running part

std::size_t entry_of(const char* name) {
  for (std::size_t i = 0; i < t_entries.size(); ++i) {
    if (t_entries[i].name == name || std::strcmp(t_entries[i].name, name) == 0) return i;
  }
  t_entries.push_back({name});
  return t_entries.size() - 1;
}

}  // namespace

void set_enabled(bool on) { g_enabled = on; }
bool enabled() { return g_enabled; }

std::vector<ZoneTotal> totals() {
  std::vector<ZoneTotal> result;
  for (const Entry& entry : t_entries) {
    if (entry.calls > 0) result.push_back({entry.name, entry.seconds, entry.calls});
  }
  std::sort(result.begin(), result.end(), [](const ZoneTotal& a, const ZoneTotal& b) { return a.seconds > b.seconds; });
  return result;
}

void reset() {
  for (Entry& entry : t_entries) entry = {entry.name};
}

Zone::Zone(const char* name) : active_(g_enabled) {
  count_progress();
  if (!active_) return;
  const double now = now_seconds();
  if (!t_open.empty()) t_entries[t_open.back().first].seconds += now - t_open.back().second;
  t_open.emplace_back(entry_of(name), now);
}

Zone::~Zone() {
  if (!active_) return;
  const double now = now_seconds();
  Entry& entry = t_entries[t_open.back().first];
  entry.seconds += now - t_open.back().second;
  ++entry.calls;
  t_open.pop_back();
  if (!t_open.empty()) t_open.back().second = now;
}

}  // namespace r1::profile
