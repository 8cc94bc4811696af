// What the CUDA backend is meant to reach, beside what was measured.
#pragma once

#include "tools/gpu/report.h"

namespace r1::gpu {

inline constexpr const char* kGoalsSection = "goals";

/// From the file with the sections of all commands that wrote to it; numbers of --quick count for nothing. A missed goal is no failure.
void report_goals(Report& report);

}  // namespace r1::gpu
