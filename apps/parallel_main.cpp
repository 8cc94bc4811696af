#include "apps/parallel_main.h"

#include "apps/app_main.h"
#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"

namespace r1::apps {

int run_parallel_app(const char* program, int argc, char** argv,
                     const std::function<int(std::span<const std::string>, comm::World&)>& body) {
  return run_app(program, argc, argv, [&](std::span<const std::string> arguments) {
    const comm::Topology topology = comm::topology_from_environment();
    log::set_rank(topology.rank);
    comm::World world(program, topology);
    signals::install();
    try {
      if (world.world_size() == 1) return body(arguments, world);
      const int code = body(arguments, world);
      world.finish();
      return code;
    } catch (const signals::Stopped& stopped) {  // thrown by all ranks
      log::notice("{}: {}", program, stopped.what());
      world.finish();
      return kExitRequeue;
    } catch (...) {
      if (world.world_size() == 1) throw;
      const Failure failure = describe_current_exception();
      return world.fail(failure.exit_code, failure.message);
    }
  });
}

}  // namespace r1::apps
