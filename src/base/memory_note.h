// What is said beside "out of memory": the plan of the job.
#pragma once

#include <string>

namespace r1 {

/// Kept until the process ends; the executables print it with an error of memory (exit code 7). Call before other threads run.
void set_memory_note(std::string note);
const std::string& memory_note();

}  // namespace r1
