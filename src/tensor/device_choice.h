// --device auto|cpu|cuda → the device to run on.
#pragma once

#include <string>
#include <string_view>

#include "tensor/device.h"

namespace r1 {

/// auto takes the CPU only when the process was given no GPU. When SLURM_JOB_GPUS, SLURM_GPUS_ON_NODE or
/// CUDA_VISIBLE_DEVICES name one, or the choice is cuda, and it cannot be used, Error(kUsage) says what is missing (module, driver or
/// device): a GPU that was allocated must not idle unseen. "cpu" always gives the CPU.
/// local_rank: this process among those of its node; they take the visible devices in turn.
Device choose_device(std::string_view choice, int local_rank = 0);

/// The same for a job that is only planned here: "cuda" needs no GPU.
Device planned_device(std::string_view choice);

}  // namespace r1
