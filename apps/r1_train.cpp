// r1_train: supervised fine-tuning and reinforcement.
#include <fmt/format.h>

#include "apps/parallel_main.h"
#include "base/error.h"
#include "base/log.h"
#include "base/profile.h"
#include "config/loader.h"
#include "train/run_grpo.h"
#include "train/run_sft.h"

namespace r1::apps {
namespace {

int run(std::span<const std::string> arguments, comm::World& world) {
  const std::string task = arguments.empty() ? "" : arguments[0];
  const auto program = task == "sft" ? config::Program::kTrainSft : task == "grpo" ? config::Program::kTrainGrpo : config::Program::kTrain;
  if (const auto information = config::requested_information(program, arguments)) {
    if (world.rank() == 0) fmt::print("{}", *information);
    return 0;
  }
  profile::set_enabled(true);
  const auto environment = config::Environment::of_process(world.world_size());
  if (task == "sft") {
    config::SftConfig config = config::load_sft(arguments.subspan(1), environment);
    log::set_level(log::level_from_name(config.log_level));
    if (config.num_threads == 0) config.num_threads = comm::default_num_threads(world.topology());
    world.watch(config.watchdog_seconds);
    train::run_sft(config, world.communicator(), world.topology().local_size);
    return 0;
  }
  if (task == "grpo") {
    config::GrpoConfig config = config::load_grpo(arguments.subspan(1), environment);
    log::set_level(log::level_from_name(config.log_level));
    if (config.num_threads == 0) config.num_threads = comm::default_num_threads(world.topology());
    world.watch(config.watchdog_seconds);
    train::run_grpo(config, world);
    return 0;
  }
  fail(ErrorKind::kUsage, "expected a task, 'sft' or 'grpo', found '{}'; r1_train --help lists the flags", task);
}

}  // namespace
}  // namespace r1::apps

int main(int argc, char** argv) { return r1::apps::run_parallel_app("r1_train", argc, argv, r1::apps::run); }
