// Signals that a scheduler or a user sends to a running job. Handlers set flags alone; the work looks at them between steps.
#pragma once

#include <exception>

namespace r1::signals {

/// From now on SIGUSR1 and SIGTERM ask to save and stop, SIGUSR2 to save and go on. A second SIGTERM ends the process at once with
/// exit code 143, or with kExitRequeue once Stopped is on its way: a launcher that sees the first rank leave ends the others.
/// SIGXFSZ (a file beyond ulimit -f) is ignored: write() reports it.
void install();

/// SIGUSR1 or SIGTERM has come.
bool stop_requested();
/// SIGUSR2 has come since the last call.
bool take_save_request();

/// The work stopped because of a signal, and everything finished so far is saved: executables exit with kExitRequeue.
class Stopped : public std::exception {
 public:
  Stopped() noexcept;
  const char* what() const noexcept override { return "stopped by a signal; everything is saved, the next start continues"; }
};

}  // namespace r1::signals
