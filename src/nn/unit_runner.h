// The one place for what surrounds a unit: gathering, prefetch, recompute, gradient reduction.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "nn/hooks.h"
#include "nn/tape.h"

namespace r1::nn {

class UnitRunner;
class TensorParallel;

/// What every differentiable function needs to know about the pass it runs in.
struct Pass {
  const ExecContext& ctx;
  UnitRunner& runner;
  Tape* tape = nullptr;                       // null: inference, nothing is saved
  TensorParallel* tensor_parallel = nullptr;  // the ranks that share each layer; null: this one has all of it. Inference only.
};

/// What flows from unit to unit: the branch's output and the residual stream it is still to be added to (undefined: it has been).
struct Activations {
  Var hidden;
  Var residual;
};

/// Which activations of a unit the backward pass makes again instead of keeping them. All three give the same bits.
enum class RecomputeGranularity : std::uint8_t {
  kNone,
  /// Norms and the MLP's inner activation: what no matrix product made. (Attention keeps no probabilities in any case: its backward
  /// function makes them again from lse.) Costs some passes over memory, no products.
  kSelective,
  kFull,  // everything but the unit's result: a second forward pass
};

using UnitBody = std::function<Activations(Pass&, const Activations&)>;

class UnitRunner {
 public:
  UnitRunner(ParameterSet& parameters, UnitHooks& hooks) : parameters_(parameters), hooks_(hooks), uses_(parameters.units().size(), 0) {}

  /// kFull holds for units given to run() with Recompute::kAllowed, kSelective for all.
  void set_recompute(RecomputeGranularity granularity) { recompute_ = granularity; }
  /// Whether a cheap function's result should carry the way to make it again (Var::rebuild).
  bool recomputes_selectively() const { return recompute_ == RecomputeGranularity::kSelective; }

  enum class Recompute { kAllowed, kNever };

  /// Runs body with the values of the units acquired. Under a tape the units' backward pass acquires them again, binds
  /// gradient scratch, and reports gradients_ready after the last of the unit's uses in this pass (a tied weight has two).
  Activations run(std::span<const int> units, Pass& pass, const Activations& in, const UnitBody& body, Recompute recompute);

  ParameterSet& parameters() { return parameters_; }
  /// Of the embedding's output, and so of all that follows.
  DType activation_dtype() const { return hooks_.activation_dtype(); }
  bool values_stay() const { return hooks_.values_stay(); }
  bool values_never_move() const { return hooks_.values_never_move(); }

 private:
  void acquire(std::span<const int> units);
  void release(std::span<const int> units);
  void begin_backward(std::span<const int> units);
  void end_backward(std::span<const int> units);

  ParameterSet& parameters_;
  UnitHooks& hooks_;
  std::vector<int> uses_;  // recorded uses of each unit whose backward pass is still to come
  std::vector<bool> in_backward_ = std::vector<bool>(uses_.size(), false);
  RecomputeGranularity recompute_ = RecomputeGranularity::kNone;
};

}  // namespace r1::nn
