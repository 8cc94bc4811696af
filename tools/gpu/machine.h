// The device of this machine: whether there is one, what its data sheet promises, and what it reports.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ops/dispatch.h"
#include "tools/gpu/report.h"

namespace r1::gpu {

/// Of the manufacturer's data sheet: dense products in bfloat16, and its memory.
struct DataSheet {
  const char* name;
  double bytes_per_second, bf16_flops;
};
/// By the driver's name of the device; nothing for a variant whose numbers are others or are not known.
std::optional<DataSheet> data_sheet_of(const std::string& device_name);

/// A copy rate below half of the data sheet's is a fault of the measurement or the machine, and every share of it would be wrong.
bool is_plausible_copy(const std::optional<DataSheet>& sheet, double bytes_per_second);

/// What says that the machine has a GPU, though our module may see none; empty: nothing does. R1_GPU_DEVICE_FILES (paths with ':' between
/// them) stands for /dev/nvidia0:/dev/nvidiactl.
std::string sign_of_a_gpu();

/// Libraries and the first device, in a child process. Sets "has_device", "missing" (libraries that libr1_cuda.so opens), "problem" (why
/// there is no device) and "about".
void report_machine(Report& report);

/// Ends the process with kExitDeviceLost when the device gives no answer any more.
void leave_if_lost(const ExecContext& device);

/// "about": the date, the commit, the driver.
Json about_this_run(const std::string& root);

}  // namespace r1::gpu
