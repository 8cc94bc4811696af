// A CPU device whose tensors are inaccessible outside of ops: what would fail on a GPU faults here, at its line.
#pragma once

#include <cstddef>
#include <memory>

#include "tensor/exec_context.h"

namespace r1::test {

/// Memory of kind kCpu from one reserved region. Its pages are PROT_NONE except between begin_op() and end_op() (nested
/// scopes count), so code that reads or writes a tensor other than through an op dies with SIGSEGV.
/// Throws Error(kMemory) when the region is used up: released blocks are not handed out again.
std::unique_ptr<MemorySource> make_guarded_source(std::size_t region_bytes);

/// The cpu backend (or `backend`) on guarded memory; 4 GiB of address space, of which only touched pages cost memory.
std::unique_ptr<ExecContext> make_guarded_context(int num_threads, Backend backend = Backend::kCpu);

}  // namespace r1::test
