#include "nn/tape.h"

#include "ops/elementwise.h"

namespace r1::nn {

Var Tape::variable(Tensor value) {
  gradients_.emplace_back();
  return {std::move(value), static_cast<int>(gradients_.size()) - 1};
}

void Tape::record(std::initializer_list<Tensor> saved, std::function<void(Tape&)> backward) {
  for (const Tensor& tensor : saved) {
    if (tensor.defined() && saved_.insert(tensor.storage_id()).second) saved_bytes_ += static_cast<std::int64_t>(tensor.num_bytes());
  }
  nodes_.push_back(std::move(backward));
}

void Tape::backward() {
  while (!nodes_.empty()) {
    auto node = std::move(nodes_.back());
    nodes_.pop_back();
    node(*this);
  }
}

Tensor Tape::take_gradient(int slot) {
  if (slot < 0) return {};
  return std::exchange(gradients_[static_cast<std::size_t>(slot)], Tensor());
}

void Tape::set_gradient(int slot, const Tensor& gradient) {
  if (slot < 0 || !gradient.defined()) return;
  Tensor& mine = gradients_[static_cast<std::size_t>(slot)];
  if (!mine.defined()) {
    mine = gradient;
    return;
  }
  auto [target, mode] = gradient_target(slot, mine);
  ops::add(ctx_, target, gradient, target);
}

std::pair<Tensor, ops::Accumulate> Tape::gradient_target(int slot, const Tensor& input) {
  R1_ASSERT(slot >= 0, "gradient of a value that wants none");
  Tensor& mine = gradients_[static_cast<std::size_t>(slot)];
  if (!mine.defined()) {
    mine = ctx_.empty(input.shape(), input.dtype());
    return {mine, ops::Accumulate::kNo};
  }
  if (mine.is_shared()) {  // another slot still reads this tensor: the sum needs a buffer of its own
    Tensor own = ctx_.empty(mine.shape(), mine.dtype());
    ops::copy(ctx_, mine, own);
    mine = own;
  }
  return {mine, ops::Accumulate::kYes};
}

}  // namespace r1::nn
