// What every executable does around its work.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace r1::apps {

/// Runs body with the arguments behind the program's name and returns the exit code. An r1::Error is printed once, as
/// "<program>: <what>", and mapped to its exit code; running out of memory is 7; anything else is 1.
int run_app(const char* program, int argc, char** argv, const std::function<int(std::span<const std::string>)>& body);

/// The exit code and the message of the exception being handled; for a catch (...) of one's own.
struct Failure {
  int exit_code = 1;
  std::string message;
};
Failure describe_current_exception();

}  // namespace r1::apps
