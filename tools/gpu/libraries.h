// The CUDA libraries of this machine, as the module and gpu_check find them.
#pragma once

#include <string>
#include <vector>

#include "tools/gpu/report.h"

namespace r1::gpu {

struct FoundLibrary {
  std::string name, path, problem;  // path: empty when it was not found
  std::string version;
};

/// What the module opens at run time, then what it does not name but an NVIDIA installation has.
std::vector<FoundLibrary> find_libraries();

/// One line each; returns the names of the missing ones.
std::vector<std::string> report_libraries(const std::vector<FoundLibrary>& libraries, Report& report);

}  // namespace r1::gpu
