// What the three stores share: flat units cut into pieces, the fold of gradients in index order, the norm.
#pragma once

#include <deque>
#include <vector>

#include "parallel/parameter_store.h"

namespace r1::parallel {

class ShardedStore : public ParameterStore {
 public:
  void begin_step(std::int64_t num_micro_batches) override;
  void begin_micro_batch(std::int64_t global_index) override;
  void begin_gradients(int unit) override;
  void gradients_ready(int unit) override;
  void for_each_shard(const ShardVisitor& visit) override;
  void for_each_owned_shard(const ShardVisitor& visit) override;
  double gradient_norm() override;
  Tensor gather_value(const nn::Parameter& parameter) override;
  void set_value(const nn::Parameter& parameter, const Tensor& host_f32) override;
  StoreMemory memory() const override;
  comm::Communicator& communicator() override { return communicator_; }
  DType activation_dtype() const override { return options_.working_dtype; }
  ~ShardedStore() override;

 protected:
  /// Elements of a unit's flat buffer.
  using Range = comm::ElementRange;

  struct UnitState {
    std::string name;
    std::vector<std::int64_t> cuts;    // rank r owns [cuts[r], cuts[r + 1])
    std::vector<std::int64_t> counts;  // elements per rank
    std::int64_t num_elements = 0;
    Range own;                     // this rank's piece
    Range value_range;             // what values holds: the unit, or the own piece
    Range working_range;           // what working holds, likewise
    Range state_range;             // what gradients, exp_avg and exp_avg_sq hold, and what the optimizer updates here
    Tensor values, gradients;      // [value_range], [state_range]
    Tensor working;                // [working_range] bf16; undefined: passes read values
    Tensor exp_avg, exp_avg_sq;    // [state_range]
    Tensor scratch;                // [num_elements]: gradient of the micro-batch in flight
    comm::Work gradient_transfer;  // of sums, at the end of a step
  };

  ShardedStore(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator, const StoreOptions& options);

  bool has_working_copy() const { return options_.working_dtype != DType::kF32; }
  /// Whether a rank holds its own piece of the values alone.
  bool splits_values() const {
    return options_.sharding == Sharding::kZero3 || (options_.sharding == Sharding::kZero2 && has_working_copy());
  }
  /// What passes read of the unit, as far as this rank holds it.
  const Tensor& read_by_passes(const UnitState& state) const { return has_working_copy() ? state.working : state.values; }
  /// This rank's piece of that.
  Tensor own_piece(const UnitState& state) const {
    return slice(read_by_passes(state), has_working_copy() ? state.working_range : state.value_range, state.own);
  }
  /// working = values, rounded, in what this rank updates.
  void round_values();
  /// Before values are read or written by this class: a store whose values are still arriving waits for them.
  virtual void finish_value_transfers() {}
  /// values[...] changed outside of the optimizer.
  virtual void values_changed() {}

  int num_ranks() const { return communicator_.world_size(); }
  UnitState& unit(int index) { return units_[static_cast<std::size_t>(index)]; }
  int num_units() const { return static_cast<int>(units_.size()); }
  Tensor own_gradients(UnitState& state) { return slice(state.gradients, state.state_range, state.own); }
  static Tensor slice(const Tensor& flat, Range held, Range wanted) { return flat.slice(wanted.begin - held.begin, {wanted.size()}); }

  const ExecContext& ctx_;
  nn::ParameterSet& parameters_;
  comm::Communicator& communicator_;
  const StoreOptions options_;
  std::int64_t gathered_peak_ = 0;

 private:
  /// A micro-batch's gradient of one unit on its way to the owners.
  struct Exchange {
    int unit = 0;
    std::int64_t micro_step = 0;
    Tensor scratch, received;  // received: the other ranks' pieces in rank order, or the sum of all ranks' (undefined: it is in place)
    comm::Work work;
  };

  void visit_ranges(const ShardVisitor& visit, bool owned_only);
  Exchange start_exchange(int unit_index);
  Exchange start_reduction(int unit_index);
  void fold(Exchange& exchange);
  void fold_in_order(Exchange& exchange);
  /// Whether a rank adds up its own micro-batches' gradients, for one reduction at the step's end: where it holds the whole of them anyway.
  bool adds_locally() const { return !options_.deterministic_reduction && options_.sharding == Sharding::kReplicated; }
  void finish_gradients();
  bool is_last_micro_step(std::int64_t micro_step) const { return micro_step + 1 == num_micro_steps_; }
  std::int64_t num_present(std::int64_t micro_step) const;
  void count_scratch(std::int64_t bytes);

  std::vector<UnitState> units_;
  std::deque<Exchange> exchanges_;
  std::int64_t num_micro_batches_ = kUnknown, num_micro_steps_ = kUnknown;
  std::int64_t micro_step_ = -1;
  bool is_idle_ = false;  // this rank has no micro-batch in this micro-step
  std::int64_t scratch_bytes_ = 0, scratch_peak_ = 0;
};

std::unique_ptr<ParameterStore> make_zero2_store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator,
                                                 const StoreOptions& options);
std::unique_ptr<ParameterStore> make_zero3_store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator,
                                                 const StoreOptions& options);

}  // namespace r1::parallel
