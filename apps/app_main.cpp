#include "apps/app_main.h"

#include <csignal>
#include <new>

#include "base/error.h"
#include "base/log.h"

namespace r1::apps {

int run_app(const char* program, int argc, char** argv, const std::function<int(std::span<const std::string>)>& body) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is an error of write(), not a silent death
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    return body(arguments);
  } catch (const Error& error) {
    log::error("{}: {}", program, error.what());
    return exit_code(error.kind());
  } catch (const std::bad_alloc&) {
    log::error("{}: out of memory; reduce per_device_train_batch_size or max_length, or ask for more memory", program);
    return exit_code(ErrorKind::kMemory);
  } catch (const std::exception& error) {
    log::error("{}: internal error: {}", program, error.what());
    return exit_code(ErrorKind::kInternal);
  }
}

}  // namespace r1::apps
