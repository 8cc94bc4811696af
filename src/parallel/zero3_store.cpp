// ZeRO-3: every rank keeps its pieces alone; a unit's values are gathered for its passes. Rajbhandari et al. 2020, arXiv 1910.02054.
#include "base/error.h"
#include "parallel/sharded_store.h"

#include <algorithm>
#include <exception>

namespace r1::parallel {
namespace {

/// A released unit stays gathered until the next gather starts, so that the unit at the turn from forward to backward is gathered
/// once; at most the acquired units and one more are there at a time.
class Zero3Store : public ShardedStore {
 public:
  Zero3Store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator, const StoreOptions& options)
      : ShardedStore(ctx, parameters, communicator, options), gathered_(static_cast<std::size_t>(num_units())) {}
  ~Zero3Store() override {
    if (std::uncaught_exceptions() > 0) return;
    for (Gathered& unit_values : gathered_) unit_values.work.wait();
  }

  void acquire(int unit_index) override {
    Gathered& values = at(unit_index);
    if (!values.full.defined()) start_gather(unit_index);
    values.work.wait();
    values.is_wanted = false;
    if (values.uses++ == 0) parameters_.bind_values(unit_index, values.full);
  }

  void prefetch(int unit_index) override {
    if (at(unit_index).full.defined()) return;
    start_gather(unit_index);
    at(unit_index).is_wanted = true;
  }

  void release(int unit_index) override {
    Gathered& values = at(unit_index);
    R1_ASSERT(values.uses > 0, "release() without acquire()");
    if (--values.uses == 0) parameters_.bind_values(unit_index, Tensor());
  }

  void begin_micro_batch(std::int64_t global_index) override {
    if (!is_materialized_) drop_unused();
    ShardedStore::begin_micro_batch(global_index);
  }

  void publish_updated(Updated updated) override {
    if (updated == Updated::kValues) round_values();
    values_changed();
  }

  void materialize() override {
    is_materialized_ = true;
    for (int u = 0; u < num_units(); ++u) {
      if (!at(u).full.defined()) start_gather(u);
    }
    for (Gathered& values : gathered_) values.work.wait();
  }

  bool values_stay() const override { return is_materialized_; }

  void release_materialized() override {
    is_materialized_ = false;
    drop_unused();
  }

 protected:
  void values_changed() override {
    R1_ASSERT(!is_materialized_, "values changed while they are materialized");
    drop_unused();
  }

 private:
  struct Gathered {
    Tensor full;  // undefined: not gathered
    comm::Work work;
    int uses = 0;
    bool is_wanted = false;  // prefetched and not yet acquired
  };

  Gathered& at(int unit_index) { return gathered_[static_cast<std::size_t>(unit_index)]; }

  void start_gather(int unit_index) {
    if (!is_materialized_) {
      for (Gathered& other : gathered_) {
        if (other.uses == 0 && !other.is_wanted) drop(other);
      }
    }
    UnitState& state = unit(unit_index);
    Gathered& values = at(unit_index);
    values.full = ctx_.empty({state.num_elements}, options_.working_dtype);
    values.work = communicator_.all_gather(ctx_, read_by_passes(state), values.full, state.counts, state.name);
    std::int64_t bytes = 0;
    for (const Gathered& each : gathered_) bytes += each.full.defined() ? static_cast<std::int64_t>(each.full.num_bytes()) : 0;
    gathered_peak_ = std::max(gathered_peak_, bytes);
  }

  void drop_unused() {
    for (Gathered& values : gathered_) {
      if (values.uses == 0) drop(values);
    }
  }

  static void drop(Gathered& values) {
    values.work.wait();
    values.full = Tensor();
    values.is_wanted = false;
  }

  std::vector<Gathered> gathered_;
  bool is_materialized_ = false;
};

}  // namespace

std::unique_ptr<ParameterStore> make_zero3_store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator,
                                                 const StoreOptions& options) {
  return std::make_unique<Zero3Store>(ctx, parameters, communicator, options);
}

}  // namespace r1::parallel
