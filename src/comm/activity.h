// What this rank is doing, for the diagnosis of a hang: phase, progress, the collective in flight.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace r1::comm {

/// Whether a phase may do without ops and collectives for long: reading files, tokenising, writing a model.
enum class Patience : std::uint8_t { kUsual, kLong };

/// Names what the main thread does until the end of the scope; scopes nest.
class Phase {
 public:
  explicit Phase(std::string name, Patience patience = Patience::kUsual);
  ~Phase();
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  std::string outer_name_;
  Patience outer_patience_;
  double outer_start_;
};

/// The main thread stands still in a collective until the end of the scope.
class Waiting {
 public:
  Waiting();
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
};

/// Called by the transport: the collective that was started last, and that some of its data has arrived.
void note_collective(std::uint64_t number, std::string_view kind, std::string_view what);
void note_transfer();

/// While the result lives, devices transfer by themselves: when the main thread waits for its device, it may wait for a collective. `check`
/// is called by the control channel's thread several times a second: a text says what failed. Thread-safe.
std::shared_ptr<void> watch_device_transfers(std::function<std::string()> check);
/// What a check found, or "".
std::string failure_of_device_transfers();

struct Activity {
  std::string phase = "start";
  double phase_seconds = 0;
  bool is_patient = false;
  std::uint64_t collective_number = 0;  // 0: none yet
  std::string collective;               // "all_gather 'layers.3'"
  bool is_waiting = false;
  double still_seconds = 0;  // without an op, a collective or arriving data
};
/// Thread-safe; called at the pace of heartbeats by one thread, which is how still_seconds is measured.
Activity current_activity();

}  // namespace r1::comm
