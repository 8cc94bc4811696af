// The whole of `r1_train sft`: checks, model, data, training, results.
#pragma once

#include "comm/communicator.h"
#include "config/sft_config.h"

namespace r1::train {

/// Under --plan: checks everything, prints the plan to standard output, writes nothing. Else trains and leaves the files of
/// design/interfaces.md in output_dir. Throws Error; returns on success only.
/// Collective: every rank of the job calls it; rank 0 writes.
void run_sft(const config::SftConfig& config, comm::Communicator& communicator, int ranks_on_host);

}  // namespace r1::train
