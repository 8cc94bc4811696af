// How much memory the process's tensors may take from the system.
#pragma once

#include <cstdint>

namespace r1 {

/// A page source asked for more than this in all (host and CPU tensors) refuses, as if the system had: allocators then give back what
/// they keep for reuse, and what still does not fit is Error(kMemory). 0, the default: what the system gives.
void set_page_limit(std::int64_t bytes);

}  // namespace r1
