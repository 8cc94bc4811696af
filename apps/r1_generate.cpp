// r1_generate: completions for every row of a data set.
#include <fmt/format.h>

#include "apps/parallel_main.h"
#include "base/log.h"
#include "config/loader.h"
#include "generate/run_generate.h"

namespace r1::apps {
namespace {

int run(std::span<const std::string> arguments, comm::World& world) {
  if (const auto information = config::requested_information(config::Program::kGenerate, arguments)) {
    if (world.rank() == 0) fmt::print("{}", *information);
    return 0;
  }
  config::GenerateConfig config = config::load_generate(arguments, config::Environment::of_process(world.world_size()));
  log::set_level(log::level_from_name(config.log_level));
  if (config.num_threads == 0) config.num_threads = comm::default_num_threads(world.topology());
  world.watch(config.watchdog_seconds);
  generate::run_generate(config, world);
  return 0;
}

}  // namespace
}  // namespace r1::apps

int main(int argc, char** argv) { return r1::apps::run_parallel_app("r1_generate", argc, argv, r1::apps::run); }
