// What an executable that runs on several ranks does around its work.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "comm/world.h"

namespace r1::apps {

/// As run_app, with this process's place in the job (mpirun, srun or alone). An error on any rank is printed once, as
/// "<program>: <what>" or "<program>: rank 2 (host n042): <what>", and ends all ranks with its exit code.
int run_parallel_app(const char* program, int argc, char** argv,
                     const std::function<int(std::span<const std::string>, comm::World&)>& body);

}  // namespace r1::apps
