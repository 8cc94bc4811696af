// Silent corruption: what several ranks hold a copy of must be the same bytes everywhere.
#pragma once

#include "checkpoint/host_access.h"
#include "parallel/parameter_store.h"

namespace r1::checkpoint {

/// Compares checksums (xxh3) of every parameter's value over the ranks, and of the optimizer's moments where these are replicated too
/// (DDP). Returns false when nothing is held twice: on one rank, and with ZeRO-3. Throws Error(kNumeric) on every rank, naming the tensor,
/// the ranks that disagree with the majority, and their nodes. Collective.
bool check_replicas(nn::ParameterSet& parameters, parallel::ParameterStore& store, const HostAccess& access, std::int64_t step);

}  // namespace r1::checkpoint
