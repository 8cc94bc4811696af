// The CUDA libraries of this machine, as the module and gpu_check find them.
#pragma once

#include <string>
#include <vector>

#include "tools/gpu/report.h"

namespace r1::gpu {

struct FoundLibrary {
  std::string name, path, problem;  // path: empty when it was not found
  std::string version;
  bool is_of_module = false;  // libr1_cuda.so opens it
};

/// What the module opens at run time, then what it does not name but an NVIDIA installation has.
std::vector<FoundLibrary> find_libraries();

/// One line each; returns the names of those that libr1_cuda.so opens and that are missing.
std::vector<std::string> report_libraries(const std::vector<FoundLibrary>& libraries, Report& report);

}  // namespace r1::gpu
