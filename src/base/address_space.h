// The limit on a process's address space (ulimit -v): every block that is mapped counts, whether or not it is ever written.
#pragma once

#include <cstdint>
#include <optional>

namespace r1 {

/// Bytes that this process may still map; nothing when there is no limit (RLIMIT_AS).
std::optional<std::int64_t> address_space_left();

}  // namespace r1
