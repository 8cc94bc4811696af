// ZeRO-2: values on every rank, gradients and optimizer state in shards. Rajbhandari et al. 2020, arXiv 1910.02054.
#include "parallel/sharded_store.h"

#include <exception>

namespace r1::parallel {
namespace {

/// Updated pieces travel while the next step begins: a unit waits for its own when it is acquired.
class Zero2Store : public ShardedStore {
 public:
  Zero2Store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator, const StoreOptions& options)
      : ShardedStore(ctx, parameters, communicator, options), value_transfers_(static_cast<std::size_t>(num_units())) {
    for (int u = 0; u < num_units(); ++u) parameters.bind_values(u, read_by_passes(unit(u)));
  }
  ~Zero2Store() override {
    if (std::uncaught_exceptions() == 0) Zero2Store::finish_value_transfers();
  }

  void acquire(int unit_index) override { value_transfers_[static_cast<std::size_t>(unit_index)].wait(); }
  void prefetch(int) override {}
  void release(int) override {}

  void publish_updated(Updated updated) override {
    if (updated == Updated::kValues) round_values();
    if (num_ranks() == 1) return;
    for (int u = 0; u < num_units(); ++u) {
      UnitState& state = unit(u);
      Tensor all = read_by_passes(state);
      value_transfers_[static_cast<std::size_t>(u)] = communicator_.all_gather(ctx_, own_piece(state), all, state.counts, state.name);
    }
  }

  void materialize() override { finish_value_transfers(); }
  bool values_stay() const override { return true; }
  bool values_never_move() const override { return true; }

 protected:
  void finish_value_transfers() override {
    for (comm::Work& work : value_transfers_) work.wait();
  }

 private:
  std::vector<comm::Work> value_transfers_;
};

}  // namespace

std::unique_ptr<ParameterStore> make_zero2_store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator,
                                                 const StoreOptions& options) {
  return std::make_unique<Zero2Store>(ctx, parameters, communicator, options);
}

}  // namespace r1::parallel
