#include <cmath>
#include <vector>

#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "parallel/parameter_store.h"

namespace r1::parallel {
namespace {

/// Everything of a unit in flat buffers, members in order of declaration.
struct FlatUnit {
  Tensor values, gradients, exp_avg, exp_avg_sq;
  Tensor scratch;  // gradients of the micro-batch in flight
};

class ReplicatedStore : public ParameterStore {
 public:
  ReplicatedStore(const ExecContext& ctx, nn::ParameterSet& parameters, OptimizerState state) : ctx_(ctx), parameters_(parameters) {
    for (std::size_t u = 0; u < parameters.units().size(); ++u) {
      FlatUnit& unit = units_.emplace_back();
      const Shape shape{parameters.units()[u].num_elements};
      unit.values = zeros(shape);
      if (state == OptimizerState::kAdamW) {
        unit.exp_avg = zeros(shape);
        unit.exp_avg_sq = zeros(shape);
      }
      parameters.bind_values(static_cast<int>(u), unit.values);  // always gathered
    }
  }

  void acquire(int) override {}
  void prefetch(int) override {}
  void release(int) override {}

  void begin_step() override { micro_batches_ = 0; }

  void begin_micro_batch(std::int64_t global_index) override {
    R1_ASSERT(global_index == micro_batches_, "micro-batches must come in order");
    ++micro_batches_;
  }

  void begin_gradients(int unit_index) override {
    FlatUnit& unit = units_[static_cast<std::size_t>(unit_index)];
    if (!unit.gradients.defined()) unit.gradients = ctx_.empty(unit.values.shape());
    // The first micro-batch's gradient is the start of the sum: written in place. Later ones need a buffer of their own.
    unit.scratch = micro_batches_ <= 1 ? unit.gradients : ctx_.empty(unit.values.shape());
    parameters_.bind_gradients(unit_index, unit.scratch);
  }

  void gradients_ready(int unit_index) override {
    FlatUnit& unit = units_[static_cast<std::size_t>(unit_index)];
    if (micro_batches_ > 1) ops::add(ctx_, unit.gradients, unit.scratch, unit.gradients);
    unit.scratch = Tensor();
    parameters_.bind_gradients(unit_index, Tensor());
  }

  void for_each_shard(const ShardVisitor& visit) override {
    parameters_.for_each([&](nn::Parameter& parameter) {
      FlatUnit& unit = units_[static_cast<std::size_t>(parameter.unit)];
      const Shape shape{parameter.num_elements()};
      auto piece = [&](const Tensor& flat) { return flat.defined() ? flat.slice(parameter.offset, shape) : Tensor(); };
      Shard shard{
          &parameter, 0, parameter.num_elements(), piece(unit.values), piece(unit.gradients), piece(unit.exp_avg), piece(unit.exp_avg_sq)};
      visit(shard);
    });
  }

  double gradient_norm() override {
    double total = 0;
    for_each_shard([&](Shard& shard) {
      const std::int64_t blocks = (shard.end - shard.begin + ops::kReduceBlock - 1) / ops::kReduceBlock;
      Tensor sums = ctx_.empty({blocks}, DType::kF64);
      ops::sum_squares_blocks(ctx_, shard.gradient, sums);
      const Tensor on_host = ops::to_host(ctx_, sums);
      for (const double sum : on_host.host_span<double>()) total += sum;
    });
    return std::sqrt(total);
  }

  void publish_updated() override {}

  Tensor gather_value(const nn::Parameter& parameter) override { return ops::to_host(ctx_, value_of(parameter)); }

  void set_value(const nn::Parameter& parameter, const Tensor& host_f32) override {
    Tensor value = value_of(parameter);
    ops::from_host(ctx_, host_f32, value);
  }

 private:
  Tensor zeros(Shape shape) const {
    Tensor tensor = ctx_.empty(shape);
    ops::fill(ctx_, tensor, 0);
    return tensor;
  }

  Tensor value_of(const nn::Parameter& parameter) const {
    return units_[static_cast<std::size_t>(parameter.unit)].values.slice(parameter.offset, parameter.shape);
  }

  const ExecContext& ctx_;
  nn::ParameterSet& parameters_;
  std::vector<FlatUnit> units_;
  std::int64_t micro_batches_ = 0;
};

}  // namespace

std::unique_ptr<ParameterStore> make_replicated_store(const ExecContext& ctx, nn::ParameterSet& parameters, OptimizerState state) {
  return std::make_unique<ReplicatedStore>(ctx, parameters, state);
}

}  // namespace r1::parallel
