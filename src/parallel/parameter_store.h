// Who holds the values, gradients and optimizer state of the parameters: the interface between units, optimizer and
// checkpoint.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "nn/hooks.h"
#include "nn/parameter.h"

namespace r1::parallel {

/// A rank's piece of one parameter: elements [begin, end) of the flattened tensor, with everything the optimizer needs.
struct Shard {
  const nn::Parameter* parameter = nullptr;
  std::int64_t begin = 0, end = 0;
  Tensor value;                // [end - begin] f32: the master copy
  Tensor gradient;             // [end - begin] f32: the sum over the step's micro-batches
  Tensor exp_avg, exp_avg_sq;  // [end - begin] f32; undefined in a store without optimizer state
};
using ShardVisitor = std::function<void(Shard&)>;

/// Micro-batches of a step are numbered globally; their gradients are added in index order, whatever the number of ranks
/// (design: architecture §4), so that the sum's bits do not depend on it.
class ParameterStore : public nn::UnitHooks {
 public:
  /// Before the first micro-batch of a step.
  virtual void begin_step() = 0;
  virtual void begin_micro_batch(std::int64_t global_index) = 0;
  /// Every piece that this rank owns, in order of declaration. Values of the shards may be written.
  virtual void for_each_shard(const ShardVisitor& visit) = 0;
  /// L2 norm of the step's gradient: double sums over blocks of 1,024 elements of each parameter, added in (parameter,
  /// block) order.
  virtual double gradient_norm() = 0;
  /// After the optimizer wrote the shards' values.
  virtual void publish_updated() = 0;
  /// A host copy of one whole parameter, f32, on every rank.
  virtual Tensor gather_value(const nn::Parameter& parameter) = 0;
  virtual void set_value(const nn::Parameter& parameter, const Tensor& host_f32) = 0;
};

enum class OptimizerState : std::uint8_t { kNone, kAdamW };

/// One rank holds everything. With kNone there is room for values and gradients only as they are used: what inference needs.
std::unique_ptr<ParameterStore> make_replicated_store(const ExecContext& ctx, nn::ParameterSet& parameters, OptimizerState state);

}  // namespace r1::parallel
