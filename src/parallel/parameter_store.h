// Who holds the values, gradients and optimizer state of the parameters: the interface between units, optimizer and
// checkpoint.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "comm/communicator.h"
#include "nn/hooks.h"
#include "nn/parameter.h"

namespace r1::parallel {

/// A rank's piece of one parameter: elements [begin, end) of the flattened tensor, with everything the optimizer needs.
struct Shard {
  const nn::Parameter* parameter = nullptr;
  std::int64_t begin = 0, end = 0;
  Tensor value;                // [end - begin] f32: the master copy
  Tensor working;              // [end - begin] bf16: the rounded copy that passes read; undefined where they read the master copy
  Tensor gradient;             // [end - begin] f32: the sum over the step's micro-batches; undefined before the first
  Tensor exp_avg, exp_avg_sq;  // [end - begin] f32; undefined in a store without optimizer state

  const Tensor& read_by_passes() const { return working.defined() ? working : value; }
};
using ShardVisitor = std::function<void(Shard&)>;

/// Bytes of this rank by class.
struct StoreMemory {
  std::int64_t values = 0, gradients = 0, optimizer_state = 0;  // as long as the run lasts; values: master and working copy
  std::int64_t gathered_peak = 0;                               // ZeRO-3: units with all their values
  std::int64_t scratch_peak = 0;                                // gradients of a micro-batch on their way to their owners
  std::int64_t state() const { return values + gradients + optimizer_state; }
};

/// What the visitors of the shards have written before publish_updated().
enum class Updated : std::uint8_t { kValues, kValuesAndWorking };

/// Micro-batches of a step are numbered globally; rank r of N runs the indices k·N + r. Their gradients are added in index order,
/// whatever the number of ranks (design: architecture §4), so that the sum's bits do not depend on it.
/// Collective: every rank makes the same calls in the same order, but for the visits of its shards.
class ParameterStore : public nn::UnitHooks {
 public:
  static constexpr std::int64_t kUnknown = -1;

  /// Before the first micro-batch of a step. num_micro_batches: of all ranks; kUnknown is for one rank.
  virtual void begin_step(std::int64_t num_micro_batches = kUnknown) = 0;
  /// The index of this rank's next micro-batch. One that is not below the step's number (another rank has the last one) is run all
  /// the same, for the collectives of its units; its gradient does not count.
  virtual void begin_micro_batch(std::int64_t global_index) = 0;
  /// Every piece whose values this rank updates, in order of declaration: whole parameters when values are replicated. Values may
  /// be written.
  virtual void for_each_shard(const ShardVisitor& visit) = 0;
  /// Every piece that this rank alone answers for; all ranks' together are everything once. For checkpoints.
  virtual void for_each_owned_shard(const ShardVisitor& visit) = 0;
  /// L2 norm of the step's gradient: double sums over blocks of 1,024 elements of each parameter, added in (parameter,
  /// block) order. The same bits on every rank.
  virtual double gradient_norm() = 0;
  /// After the shards' values were written. kValues: their working copies are rounded anew here.
  virtual void publish_updated(Updated updated) = 0;
  /// A host copy of one whole parameter, f32, on every rank.
  virtual Tensor gather_value(const nn::Parameter& parameter) = 0;
  /// The same parameter with the same content on every rank.
  virtual void set_value(const nn::Parameter& parameter, const Tensor& host_f32) = 0;

  /// Gathers all units until the next release_materialized(): acquire and release are then local, so that ranks may run different
  /// numbers of passes (generation).
  virtual void materialize() {}
  virtual void release_materialized() {}

  virtual StoreMemory memory() const = 0;
  /// The group of ranks that the parameters are spread over.
  virtual comm::Communicator& communicator() = 0;
};

enum class OptimizerState : std::uint8_t { kNone, kAdamW };

enum class Sharding : std::uint8_t {
  kReplicated,  // every rank has everything (DDP)
  kZero2,       // gradients and optimizer state in shards
  kZero3,       // values too: units are gathered for their passes
};

struct StoreOptions {
  Sharding sharding = Sharding::kReplicated;
  OptimizerState optimizer_state = OptimizerState::kAdamW;
  /// Gradients are added in the order of their micro-batches, each micro-batch's on its way as soon as it is there. Off: sums are made on
  /// the way, in an order that depends on the number of ranks: of each micro-batch, or, where every rank holds all gradients (kReplicated),
  /// of what a rank has added up itself, once a step.
  bool deterministic_reduction = true;
  /// kBF16: passes read a rounded copy of the values and compute in bf16 (where the backend does); values, gradients and optimizer state
  /// stay f32. ZeRO-2 then keeps the master copy in shards, and both stages send half the bytes of values.
  DType working_dtype = DType::kF32;
};

/// The communicator outlives the store.
std::unique_ptr<ParameterStore> make_parameter_store(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator,
                                                     const StoreOptions& options);

/// One rank holds everything. With kNone there is room for values and gradients only as they are used: what inference needs.
std::unique_ptr<ParameterStore> make_replicated_store(const ExecContext& ctx, nn::ParameterSet& parameters, OptimizerState state);

}  // namespace r1::parallel
