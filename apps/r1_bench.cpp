// r1_bench: benchmarks of a model.
#include <fmt/format.h>

#include "apps/parallel_main.h"
#include "base/log.h"
#include "config/loader.h"
#include "eval/run_bench.h"
#include "eval/task_registry.h"

namespace r1::apps {
namespace {

int run(std::span<const std::string> arguments, comm::World& world) {
  if (const auto information = config::requested_information(config::Program::kBench, arguments)) {
    if (world.rank() != 0) return 0;
    fmt::print("{}", *information);
    if (information->find("usage:") == std::string::npos) return 0;
    fmt::print("\nTasks:\n");
    for (const eval::TaskEntry& entry : eval::task_table()) fmt::print("  {:<14} {}\n", entry.name, entry.summary);
    fmt::print("  {:<14} {}\n  {:<14} {}\n", "builtin/<task>", "held-out rows of chain or countdown", "FILE.yaml", "a task of your own");
    return 0;
  }
  config::BenchConfig config = config::load_bench(arguments, config::Environment::of_process(world.world_size()));
  log::set_level(log::level_from_name(config.log_level));
  if (config.num_threads == 0) config.num_threads = comm::default_num_threads(world.topology());
  world.watch(config.watchdog_seconds);
  eval::run_bench(config, world);
  return 0;
}

}  // namespace
}  // namespace r1::apps

int main(int argc, char** argv) { return r1::apps::run_parallel_app("r1_bench", argc, argv, r1::apps::run); }
