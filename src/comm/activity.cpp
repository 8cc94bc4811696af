#include "comm/activity.h"

#include <fmt/format.h>

#include <list>
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
std::mutex g_check_mutex;  // held while a check runs: what it asks must not go away meanwhile
std::list<std::function<std::string()>> g_checks;

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

std::shared_ptr<void> watch_device_transfers(std::function<std::string()> check) {
  std::lock_guard lock(g_check_mutex);
  const auto place = g_checks.insert(g_checks.end(), std::move(check));
  return {nullptr, [place](void*) {
            std::lock_guard unlock(g_check_mutex);
            g_checks.erase(place);
          }};
}

std::string failure_of_device_transfers() {
  std::lock_guard lock(g_check_mutex);
  for (const auto& check : g_checks) {
    if (std::string failure = check(); !failure.empty()) return failure;
  }
  return {};
}

Activity current_activity() {
  bool is_waiting_for_transfer = false;
  if (is_waiting_for_device()) {
    std::lock_guard lock(g_check_mutex);
    is_waiting_for_transfer = !g_checks.empty();
  }
  std::lock_guard lock(g_mutex);
  const double now = now_seconds();
  if (const std::uint64_t count = progress_count(); count != g_last_count) {
    g_last_count = count;
    g_last_change = now;
  }
  return {g_phase,
          now - g_phase_start,
          g_patience == Patience::kLong,
          g_collective_number,
          g_collective,
          g_waiting > 0 || is_waiting_for_transfer,
          now - g_last_change};
}

}  // namespace r1::comm
