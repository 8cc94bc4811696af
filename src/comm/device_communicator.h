// Ranks whose tensors are on GPUs.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace r1::comm {

/// Collective over `host`, which must outlive the result. Transfers of tensors go from GPU to GPU through NCCL when the context is on CUDA,
/// every rank has a GPU of its own and NCCL is there on all of them; what stays on the host, and splits' agreement, goes through `host`.
/// Null when `host` does it all: one rank, the CPU, or (with one notice that says why) GPUs whose bytes pass through host memory.
std::unique_ptr<Communicator> make_device_communicator(const ExecContext& ctx, Communicator& host);

/// The same where ranks share a model (num_ranks_of_model > 1); null where each has its own, and nothing travels between them.
std::unique_ptr<Communicator> make_device_communicator(const ExecContext& ctx, Communicator& host, int num_ranks_of_model);

/// Collective over `host`: the ranks whose tensors share memory with this one's: those on its GPU, or on its machine (ranks_on_host).
int ranks_sharing_memory(const ExecContext& ctx, Communicator& host, int ranks_on_host);

}  // namespace r1::comm
