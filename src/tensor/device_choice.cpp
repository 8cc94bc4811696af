#include "tensor/device_choice.h"

#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "tensor/cuda_module.h"

namespace r1 {
namespace {

// The variable that names a GPU for this process, with its value.
std::optional<std::string> named_gpu() {
  for (const char* name : {"SLURM_JOB_GPUS", "SLURM_GPUS_ON_NODE", "CUDA_VISIBLE_DEVICES"}) {
    const char* value = std::getenv(name);
    if (value == nullptr) continue;
    const std::string_view text(value);
    if (text.empty() || text == "-1" || text == "NoDevFiles" || (text == "0" && std::string_view(name) == "SLURM_GPUS_ON_NODE")) continue;
    return fmt::format("{}={}", name, text);
  }
  return std::nullopt;
}

}  // namespace

Device choose_device(std::string_view choice, int local_rank) {
  if (choice == "cpu") return kCpuDevice;
  if (choice != "auto" && choice != "cuda") fail(ErrorKind::kUsage, "device: expected auto, cpu or cuda, found '{}'", choice);
  const std::optional<std::string> gpu = named_gpu();
  if (choice == "auto" && !gpu) return kCpuDevice;
  std::string problem;
  const int num_devices = count_cuda_devices(&problem);
  if (num_devices > 0) return {DeviceKind::kCuda, local_rank % num_devices};
  fail(ErrorKind::kUsage, "{}, but CUDA cannot be used: {}; run on the CPU with --device cpu (or R1_DEVICE=cpu)",
       gpu ? "a GPU was given to this process (" + *gpu + ")" : std::string("--device cuda was asked for"), problem);
}

Device planned_device(std::string_view choice) { return choice == "cuda" ? Device{DeviceKind::kCuda, 0} : choose_device(choice); }

}  // namespace r1
