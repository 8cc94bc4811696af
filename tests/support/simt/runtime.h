// Runs a kernel's blocks one after another, the threads of a block as fibers, and watches what they do.
//
// Found and reported as simt::Error, with the thread and the source line:
//   - a barrier that not all threads of the block reach, or reach at different lines
//   - a warp operation that not all lanes reach
//   - shared memory read before it was written, or out of bounds
//   - two threads at one address, one of them writing, with nothing that orders them (shared and global memory)
//   - a global access outside of the tensors that the launch was given, or a vector access that is not aligned
// Not modelled: warps in lock step, weak memory order within a correct program, speed, and anything of the hardware's own
// (mma, TMA, cooperative groups).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

namespace r1::simt {

inline constexpr unsigned kWarpSize = 32;

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

struct Extent3 {
  unsigned x = 1, y = 1, z = 1;
};

/// The running thread's built-in variables: the host code between launches sees the last ones.
inline Index3 current_thread, current_block;
inline Extent3 current_block_size, current_grid_size;

/// In which order threads begin and go on after a barrier, and blocks follow each other.
struct Schedule {
  std::uint64_t seed = 0;  // 0 = ascending; another = shuffled by it
};
/// For the launches that follow.
void set_schedule(Schedule schedule);

struct LaunchShape {
  Extent3 grid, block;
  std::size_t dynamic_shared_bytes = 0;
};

/// Runs body once per thread. Throws Error at the first fault; the launch ends there. `kernel` is named in the message.
void run_kernel(const char* kernel, const LaunchShape& shape, const std::function<void()>& body);

/// Launches that were kept instead of run, with what they may touch.
using Recording = std::vector<std::function<void()>>;
/// Keeps the launches that follow, without running them; null: runs them again.
void record_into(Recording* recording);
/// While launches are kept, keeps a call of a library too. Otherwise false, and nothing is done.
bool keep(std::function<void()> call);

struct LaunchStats {
  std::int64_t launches = 0, threads = 0, switches = 0;
  std::set<std::string> kernels;  // the names that were launched
};
const LaunchStats& launch_stats();

// What the device functions of cuda.h are made of. -----------------------------------------------------------------------

using Site = std::source_location;

void barrier(const Site& site);

enum class WarpOperation : std::uint8_t { kSync, kShuffle, kVote };

/// Waits for all lanes of the warp. Returns the 32 values that they brought, valid until the lane's next exchange.
const std::uint64_t* exchange(WarpOperation operation, unsigned mask, std::uint64_t value, const Site& site);

enum class Access : std::uint8_t { kRead, kWrite, kAtomic };

/// Every access to global memory by a kernel passes here first.
void check_global(const void* address, std::size_t bytes, std::size_t alignment, Access access, const Site& site);

/// The tensors that the next launches may touch: [begin, begin + bytes).
void allow_global(const void* begin, std::size_t bytes);
void forget_global();

/// Bytes of the block's shared memory that belong to the declaration `key`; fresh for each block.
struct SharedRegion;
SharedRegion& shared_region(const void* key, const char* name, std::size_t element_bytes, std::size_t count);
SharedRegion& dynamic_shared_region(std::size_t element_bytes);
std::byte* check_shared(SharedRegion& region, std::int64_t index, Access access, const Site& site);

}  // namespace r1::simt
