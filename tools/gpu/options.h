// The command line of gpu_check.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tools/gpu/speed.h"

namespace r1::gpu {

/// Names of --only, in the order in which the parts run.
inline constexpr const char* kParts[] = {"parity", "programs", "fixtures", "speed_ops", "speed_programs", "pytorch", "sanitizer"};

struct Options {
  std::string root = ".", output = "gpu_check_results", ops, fixtures;
  std::set<std::string> only;  // empty: all parts
  std::vector<DType> dtypes = {DType::kF32, DType::kBF16};
  bool quick = false;
  double seconds = 540;

  // Of a child process: which part of the work it does and what it leaves out.
  std::string child;
  std::set<std::string> skip;
  std::vector<std::string> missing;  // libraries
  bool own_kernels = false, is_real = false;
  Ceilings ceilings;

  bool wants(const std::string& part) const { return only.empty() || only.contains(part); }
  /// As arguments of a child.
  std::vector<std::string> for_child() const;
};

/// Throws Error(kUsage), with the names that are known.
Options parse_options(int argc, char** argv);

}  // namespace r1::gpu
