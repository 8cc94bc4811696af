// Errors of the suite and the exit codes that they end in.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace r1 {

/// What went wrong, seen from the user. Each kind maps to one exit code (exit_code below; the list is a public interface).
enum class ErrorKind {
  kInternal,  // a broken invariant of ours                      → 1
  kUsage,     // a command line or its combination                → 2
  kConfig,    // a recipe, an accelerate config                   → 2
  kData,      // a data file, a row                               → 3
  kModel,     // a model folder, a tokenizer, a template          → 3
  kShape,     // tensors that do not fit each other (inside ops)  → 1
  kDType,     // dtypes that do not fit each other (inside ops)   → 1
  kNumeric,   // NaN or infinity                                  → 4
  kComm,      // a dead or hung rank, a failed collective         → 5
  kDisk,      // no space, or the output cannot be written        → 6
  kMemory,    // out of memory                                    → 7
};

/// The process exit code of an error kind (design/interfaces.md, "Exit codes").
int exit_code(ErrorKind kind);

/// 85: stopped by a signal with everything saved, "requeue me".
inline constexpr int kExitRequeue = 85;

/// An error of the outside world, or of ours when kind is kInternal. what() says what was expected, what was found,
/// where, and what to change; executables print it once and exit with exit_code(kind()).
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

/// throw Error with a formatted message: fail(ErrorKind::kData, "{}:{}: expected …, found …", path, line).
template <typename... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void assertion_failed(const char* condition, std::string_view message, const char* file, int line);

}  // namespace r1

/// For broken invariants of our own code only; user input is checked with fail().
#define R1_ASSERT(condition, message)                                                    \
  do {                                                                                   \
    if (!(condition)) ::r1::assertion_failed(#condition, (message), __FILE__, __LINE__); \
  } while (false)
