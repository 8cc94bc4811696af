// What surrounds a unit of a model; implemented by parallel/ (replicated, ZeRO-2, ZeRO-3).
#pragma once

#include "nn/parameter.h"

namespace r1::nn {

/// Collective when the store spans several ranks: all ranks call in the same order, which the model's forward pass gives.
class UnitHooks {
 public:
  virtual ~UnitHooks() = default;
  /// Makes the unit's values readable (Parameter::value) until the matching release.
  virtual void acquire(int unit) = 0;
  /// A hint: the unit will be acquired next.
  virtual void prefetch(int unit) = 0;
  virtual void release(int unit) = 0;
  /// Binds a gradient scratch buffer to the unit (Parameter::grad), before its first backward use in a micro-batch.
  virtual void begin_gradients(int unit) = 0;
  /// All gradients of the unit for this micro-batch stand in the scratch buffer; unbinds it.
  virtual void gradients_ready(int unit) = 0;
  /// Whether acquire() and release() do nothing now, and values stay where they are until somebody writes new ones.
  virtual bool values_stay() const { return false; }
  /// Whether new values are always written where the old ones were.
  virtual bool values_never_move() const { return false; }
  /// What the units' values are to be multiplied with: f32, or bf16 on the backend that computes in it (cuda).
  virtual DType activation_dtype() const { return DType::kF32; }
};

}  // namespace r1::nn
