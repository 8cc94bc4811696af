// r1_generate: completions for every row of a data set.
#include <fmt/format.h>

#include "apps/app_main.h"
#include "base/log.h"
#include "comm/topology.h"
#include "config/loader.h"
#include "generate/run_generate.h"

namespace r1::apps {
namespace {

int run(std::span<const std::string> arguments) {
  if (const auto information = config::requested_information(config::Program::kGenerate, arguments)) {
    fmt::print("{}", *information);
    return 0;
  }
  const comm::Topology topology = comm::topology_from_environment();
  log::set_rank(topology.rank);
  const config::GenerateConfig config = config::load_generate(arguments, config::Environment::of_process(topology.world_size));
  log::set_level(log::level_from_name(config.log_level));
  generate::run_generate(config);
  return 0;
}

}  // namespace
}  // namespace r1::apps

int main(int argc, char** argv) { return r1::apps::run_app("r1_generate", argc, argv, r1::apps::run); }
