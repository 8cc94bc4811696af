// Data parallel: every rank holds everything and makes the same update.
#include "base/error.h"
#include "parallel/sharded_store.h"

namespace r1::parallel {
namespace {

class ReplicatedStore : public ShardedStore {
 public:
  ReplicatedStore(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator, const StoreOptions& options)
      : ShardedStore(ctx, parameters, communicator, options) {
    for (int u = 0; u < num_units(); ++u) parameters.bind_values(u, read_by_passes(unit(u)));  // always gathered
  }

  void acquire(int) override {}
  void prefetch(int) override {}
  void release(int) override {}
  bool values_stay() const override { return true; }
  bool values_never_move() const override { return true; }
  void publish_updated(Updated updated) override {
    if (updated == Updated::kValues) round_values();
  }
};

struct OwnCommunicator {
  std::unique_ptr<comm::Communicator> self = comm::make_self_communicator();
};

class SingleStore : private OwnCommunicator, public ReplicatedStore {  // the communicator is made first
 public:
  SingleStore(const ExecContext& ctx, nn::ParameterSet& parameters, OptimizerState state)
      : ReplicatedStore(ctx, parameters, *self, {Sharding::kReplicated, state, /*deterministic_reduction=*/true}) {}
};

}  // namespace

std::unique_ptr<ParameterStore> make_replicated_store(const ExecContext& ctx, nn::ParameterSet& parameters, OptimizerState state) {
  return std::make_unique<SingleStore>(ctx, parameters, state);
}

std::unique_ptr<ParameterStore> make_parameter_store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator,
                                                     const StoreOptions& options) {
  switch (options.sharding) {
    case Sharding::kZero2:
      return make_zero2_store(ctx, parameters, communicator, options);
    case Sharding::kZero3:
      return make_zero3_store(ctx, parameters, communicator, options);
    case Sharding::kReplicated:
      break;
  }
  return std::make_unique<ReplicatedStore>(ctx, parameters, communicator, options);
}

}  // namespace r1::parallel
