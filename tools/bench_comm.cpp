// Bandwidth and latency of the collectives: mpirun -n 4 bench_comm [largest_megabytes]
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/profile.h"
#include "base/strings.h"
#include "comm/world.h"
#include "ops/elementwise.h"

namespace {

using namespace r1;

/// Median seconds of a call, over the slowest rank each.
template <typename Call>
double median_seconds(comm::Communicator& ranks, Call call) {
  constexpr int kRepeats = 7;
  std::vector<double> seconds;
  for (int i = 0; i < kRepeats; ++i) {
    ranks.barrier("bench");
    const double start = now_seconds();
    call();
    const auto all = ranks.host_gather_value(now_seconds() - start, "bench");
    seconds.push_back(*std::max_element(all.begin(), all.end()));
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRepeats / 2, seconds.end());
  return seconds[kRepeats / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const comm::Topology topology = comm::topology_from_environment();
  comm::World world("bench_comm", topology);
  comm::Communicator& ranks = world.communicator();
  const auto ctx = make_cpu_context(1);
  const std::int64_t size = ranks.world_size();
  const double largest = argc > 1 ? parse_double(argv[1]).value_or(64) : 64;
  if (world.rank() == 0)
    fmt::print("{} ranks; bus bandwidth = bytes × (N - 1) / N / time\n{:>12} {:>14} {:>12} {:>12}\n", size, "call", "bytes", "µs", "GB/s");
  for (double megabytes = 0.004; megabytes <= largest; megabytes *= 4) {
    const auto piece = std::max<std::int64_t>(1, static_cast<std::int64_t>(megabytes * 1e6 / 4) / size), total = piece * size;
    Tensor full = ctx->empty({total}), received = ctx->empty({total});
    ops::fill(*ctx, full, 1);
    std::vector<std::int64_t> counts(static_cast<std::size_t>(size), piece);
    std::vector<comm::ElementRange> ranges;
    for (std::int64_t r = 0; r < size; ++r) ranges.push_back({r * piece, (r + 1) * piece});
    Tensor shard = received.slice(world.rank() * piece, {piece});
    const auto report = [&](const char* name, double seconds) {
      const double bytes = static_cast<double>(total) * 4;
      if (world.rank() == 0)
        fmt::print("{:>12} {:>14.0f} {:>12.1f} {:>12.2f}\n", name, bytes, seconds * 1e6,
                   bytes * static_cast<double>(size - 1) / static_cast<double>(size) / seconds / 1e9);
    };
    report("all_gather", median_seconds(ranks, [&] { ranks.all_gather(*ctx, shard, received, counts, "bench").wait(); }));
    report("all_to_all", median_seconds(ranks, [&] { ranks.all_to_all(*ctx, full, ranges, received, ranges, "bench").wait(); }));
    report("reduce_sc.", median_seconds(ranks, [&] { ranks.reduce_scatter(*ctx, full, shard, counts, "bench").wait(); }));
    report("all_reduce", median_seconds(ranks, [&] { ranks.all_reduce(*ctx, full, comm::Reduce::kMax, "bench").wait(); }));
  }
  world.finish();
  return 0;
}
