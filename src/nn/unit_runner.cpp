#include "nn/unit_runner.h"

#include <utility>

#include "ops/elementwise.h"

namespace r1::nn {

void UnitRunner::acquire(std::span<const int> units) {
  for (const int unit : units) hooks_.acquire(unit);
}

void UnitRunner::release(std::span<const int> units) {
  for (const int unit : units) hooks_.release(unit);
}

void UnitRunner::begin_backward(std::span<const int> units) {
  acquire(units);
  for (const int unit : units) {
    if (!in_backward_[static_cast<std::size_t>(unit)]) {
      hooks_.begin_gradients(unit);
      in_backward_[static_cast<std::size_t>(unit)] = true;
    }
  }
  if (units.front() > 0) hooks_.prefetch(units.front() - 1);
}

void UnitRunner::end_backward(std::span<const int> units) {
  for (const int unit : units) {
    if (--uses_[static_cast<std::size_t>(unit)] > 0) continue;
    in_backward_[static_cast<std::size_t>(unit)] = false;
    parameters_.for_each_of_unit(
        unit, [](Parameter& parameter) { R1_ASSERT(parameter.grad_written, parameter.name + ": the backward pass left no gradient"); });
    hooks_.gradients_ready(unit);
  }
  release(units);
}

Activations UnitRunner::run(std::span<const int> units, Pass& pass, const Activations& in, const UnitBody& body, Recompute recompute) {
  const int next = units.front() + 1;
  acquire(units);
  if (next < static_cast<int>(uses_.size())) hooks_.prefetch(next);
  if (pass.tape == nullptr) {
    Activations out = body(pass, in);
    release(units);
    return out;
  }

  const std::vector<int> own_units(units.begin(), units.end());
  for (const int unit : units) ++uses_[static_cast<std::size_t>(unit)];

  if (recompute_ != RecomputeGranularity::kFull || recompute == Recompute::kNever) {
    pass.tape->record({}, [this, own_units](Tape&) { end_backward(own_units); });
    Activations out = body(pass, in);
    pass.tape->record({}, [this, own_units](Tape&) { begin_backward(own_units); });
    release(units);
    return out;
  }

  Pass without_tape{pass.ctx, pass.runner, nullptr};
  const Activations out_values = body(without_tape, in);
  release(units);
  // Kept until the backward pass: one tensor instead of two. The next unit's first norm would have added them, with the same bits.
  Tensor kept = out_values.hidden.value;
  if (out_values.residual.defined()) {
    kept = pass.ctx.empty(out_values.hidden.value.shape(), out_values.hidden.value.dtype());
    ops::add(pass.ctx, out_values.hidden.value, out_values.residual.value, kept);
  }
  const Activations out{pass.tape->variable(kept), {}};
  pass.tape->record({in.hidden.value, in.residual.value}, [this, own_units, in, body, ctx = &pass.ctx, slot = out.hidden.slot](Tape& tape) {
    begin_backward(own_units);
    Tape inner(*ctx);
    Pass inner_pass{*ctx, *this, &inner};
    Activations inner_in;
    if (in.hidden.defined()) inner_in.hidden = inner.variable(in.hidden.value);
    if (in.residual.defined()) inner_in.residual = inner.variable(in.residual.value);
    const Activations inner_out = body(inner_pass, inner_in);
    Tensor gradient = tape.take_gradient(slot);
    if (inner_out.residual.defined()) inner.set_gradient(inner_out.residual.slot, gradient);
    inner.set_gradient(inner_out.hidden.slot, std::move(gradient));
    inner.backward();
    tape.set_gradient(in.hidden.slot, inner.take_gradient(inner_in.hidden.slot));
    tape.set_gradient(in.residual.slot, inner.take_gradient(inner_in.residual.slot));
    end_backward(own_units);
  });
  return out;
}

}  // namespace r1::nn
