#include "base/signals.h"

#include <unistd.h>

#include <csignal>
#include <initializer_list>

#include "base/error.h"

namespace r1::signals {
namespace {

constexpr int kExitSecondTerm = 143;

volatile std::sig_atomic_t stop_flag = 0, save_flag = 0, num_terms = 0, is_saved = 0;

// Only what is safe in a signal handler: flags and _exit.
void handle(int signal) {
  if (signal == SIGUSR2) {
    save_flag = 1;
    return;
  }
  if (signal == SIGTERM) {
    if (num_terms != 0) _exit(is_saved != 0 ? kExitRequeue : kExitSecondTerm);
    num_terms = 1;
  }
  stop_flag = 1;
}

}  // namespace

void install() {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  // A file beyond the process's limit is then an error of write(), with a message, instead of the process's end.
  std::signal(SIGXFSZ, SIG_IGN);
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM}) sigaction(signal, &action, nullptr);
}

Stopped::Stopped() noexcept { is_saved = 1; }

bool stop_requested() { return stop_flag != 0; }

bool take_save_request() {
  if (save_flag == 0) return false;
  save_flag = 0;
  return true;
}

}  // namespace r1::signals
