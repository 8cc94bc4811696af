// Records the op calls of a training pass and replays their backward functions in reverse.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ops/types.h"
#include "tensor/tensor.h"

namespace r1::nn {

class Rebuild;

/// A value and, under a tape, the slot where its gradient gathers.
struct Var {
  Tensor value;
  int slot = -1;  // -1: no gradient is wanted
  /// Selective recompute: what reads the value in the backward pass makes it again instead of keeping it (nn/saved_input.h). Else null.
  std::shared_ptr<Rebuild> rebuild = nullptr;
  bool defined() const { return value.defined(); }
};

/// Invariant: a gradient is complete when the node that produced its value runs backward, because consumers are recorded
/// later. Not thread-safe. One use: record, backward, gone.
class Tape {
 public:
  explicit Tape(const ExecContext& ctx) : ctx_(ctx) {}

  /// A value of this tape (an op's output, or an input whose gradient is wanted).
  Var variable(Tensor value);

  /// `saved` are the tensors that backward keeps alive (for saved_bytes()); backward is called once, in reverse order.
  void record(std::initializer_list<Tensor> saved, std::function<void(Tape&)> backward);

  /// Runs all nodes in reverse and drops each after it ran. Gradients of outputs were set with set_gradient().
  void backward();

  /// The complete gradient of a produced value, handed over; undefined when nothing consumed it.
  Tensor take_gradient(int slot);
  /// Gives a slot its (first) gradient without a copy; added when there is one already. Several slots may get the same tensor.
  void set_gradient(int slot, const Tensor& gradient);
  /// Where an op writes the gradient of its input: a fresh buffer like the input to overwrite, or the one to add to.
  std::pair<Tensor, ops::Accumulate> gradient_target(int slot, const Tensor& input);

  /// Bytes of the distinct storages that recorded nodes keep alive.
  std::int64_t saved_bytes() const { return saved_bytes_; }
  const ExecContext& context() const { return ctx_; }

 private:
  const ExecContext& ctx_;
  std::vector<std::function<void(Tape&)>> nodes_;
  std::vector<Tensor> gradients_;
  std::unordered_set<const void*> saved_;
  std::int64_t saved_bytes_ = 0;
};

}  // namespace r1::nn
