// What an op keeps of its input for the backward pass: the value, or the way to make it again.
#pragma once

#include <functional>
#include <memory>

#include "nn/tape.h"

namespace r1::nn {

/// Makes a value again, bit for bit, from what the tape keeps anyway. Consumers share one copy: the first one's take() makes it, the last
/// one's lets it go. Not thread-safe.
class Rebuild {
 public:
  explicit Rebuild(std::function<Tensor()> make) : make_(std::move(make)) {}
  void add_consumer() { ++num_consumers_; }
  Tensor take() {
    if (!made_.defined()) made_ = make_();
    return --num_consumers_ == 0 ? std::exchange(made_, Tensor()) : made_;
  }

 private:
  std::function<Tensor()> make_;
  int num_consumers_ = 0;
  Tensor made_;
};

/// For an op's backward function: made while the op runs, take() once.
class SavedInput {
 public:
  explicit SavedInput(const Var& x) : rebuild_(x.rebuild) {
    if (rebuild_ != nullptr) rebuild_->add_consumer();
    else value_ = x.value;
  }
  /// What it keeps alive, for Tape::record; undefined when nothing.
  const Tensor& kept() const { return value_; }
  Tensor take() { return rebuild_ != nullptr ? rebuild_->take() : std::exchange(value_, Tensor()); }

 private:
  std::shared_ptr<Rebuild> rebuild_;
  Tensor value_;
};

}  // namespace r1::nn
