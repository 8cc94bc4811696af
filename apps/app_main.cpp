#include "apps/app_main.h"

#include <csignal>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "base/memory_note.h"
#include "base/signals.h"

namespace r1::apps {

namespace {

Failure out_of_memory(const std::string& message) {
  const bool has_plan = memory_note().empty() || message.find("PLAN ") != std::string::npos;
  return {exit_code(ErrorKind::kMemory), has_plan ? message : message + "\nThe plan:\n" + memory_note()};
}

}  // namespace

Failure describe_current_exception() {
  try {
    throw;
  } catch (const signals::Stopped& stopped) {
    return {kExitRequeue, stopped.what()};
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kMemory) return out_of_memory(error.what());
    return {exit_code(error.kind()), error.what()};
  } catch (const std::bad_alloc&) {
    return out_of_memory("out of memory; reduce per_device_train_batch_size or max_length, or ask for more memory");
  } catch (const std::system_error& error) {
    // A thread whose stack cannot be had.
    if (error.code() == std::errc::resource_unavailable_try_again || error.code() == std::errc::not_enough_memory)
      return out_of_memory(std::string("out of memory: ") + error.what());
    return {exit_code(ErrorKind::kInternal), std::string("internal error: ") + error.what()};
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
