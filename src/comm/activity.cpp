#include "comm/activity.h"

#include <fmt/format.h>

#include <mutex>

#include "base/profile.h"
#include "base/progress.h"

namespace r1::comm {
namespace {

std::mutex g_mutex;
std::string g_phase = "start";
Patience g_patience = Patience::kUsual;
double g_phase_start = now_seconds();
std::uint64_t g_collective_number = 0;
std::string g_collective;
int g_waiting = 0;
std::uint64_t g_last_count = 0;
double g_last_change = now_seconds();

void enter(std::string name, Patience patience, double start) {
  count_progress();
  std::lock_guard lock(g_mutex);
  g_phase = std::move(name);
  g_patience = patience;
  g_phase_start = start;
}

}  // namespace

Phase::Phase(std::string name, Patience patience) {
  {
    std::lock_guard lock(g_mutex);
    outer_name_ = g_phase;
    outer_patience_ = g_patience;
    outer_start_ = g_phase_start;
  }
  enter(std::move(name), patience, now_seconds());
}

Phase::~Phase() { enter(std::move(outer_name_), outer_patience_, outer_start_); }

Waiting::Waiting() {
  count_progress();
  std::lock_guard lock(g_mutex);
  ++g_waiting;
}

Waiting::~Waiting() {
  count_progress();
  std::lock_guard lock(g_mutex);
  --g_waiting;
}

void note_collective(std::uint64_t number, std::string_view kind, std::string_view what) {
  count_progress();
  std::lock_guard lock(g_mutex);
  g_collective_number = number;
  g_collective = fmt::format("{} '{}'", kind, what);
}

void note_transfer() { count_progress(); }

Activity current_activity() {
  std::lock_guard lock(g_mutex);
  const double now = now_seconds();
  if (const std::uint64_t count = progress_count(); count != g_last_count) {
    g_last_count = count;
    g_last_change = now;
  }
  return {g_phase,       now - g_phase_start, g_patience == Patience::kLong, g_collective_number, g_collective,
          g_waiting > 0, now - g_last_change};
}

}  // namespace r1::comm
