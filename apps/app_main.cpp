#include "apps/app_main.h"

#include <csignal>
#include <new>

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"

namespace r1::apps {

Failure describe_current_exception() {
  try {
    throw;
  } catch (const signals::Stopped& stopped) {
    return {kExitRequeue, stopped.what()};
  } catch (const Error& error) {
    return {exit_code(error.kind()), error.what()};
  } catch (const std::bad_alloc&) {
    return {exit_code(ErrorKind::kMemory), "out of memory; reduce per_device_train_batch_size or max_length, or ask for more memory"};
  } catch (const std::exception& error) {
    return {exit_code(ErrorKind::kInternal), std::string("internal error: ") + error.what()};
  }
}

int run_app(const char* program, int argc, char** argv, const std::function<int(std::span<const std::string>)>& body) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of write(), not a silent death
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    return body(arguments);
  } catch (...) {
    const Failure failure = describe_current_exception();
    log::error("{}: {}", program, failure.message);
    return failure.exit_code;
  }
}

}  // namespace r1::apps
