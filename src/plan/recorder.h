// Watches a dry run's memory and knows, at its highest point, what it consists of.
#pragma once

#include <cstdint>
#include <string>

#include "nn/hooks.h"
#include "parallel/parameter_store.h"
#include "tensor/unbacked_memory.h"

namespace r1::plan {

/// The highest point of an allocator.
struct PeakMoment {
  std::int64_t bytes = 0;          // in use, what AllocatorStats::peak_bytes shows
  std::int64_t op_scratch = 0;     // of it: memory of the op that was running
  std::int64_t communication = 0;  // gathered units, gradients and pieces of them under way
  std::int64_t gradients = 0;      // sums of the step
  std::int64_t head = 0;           // what the head keeps between its forward and its backward pass, its op's chunk of logits included
  std::string phase;
};

/// The memory source of a dry run: looks at the allocator around every op.
class Recorder : public UnbackedMemory {
 public:
  explicit Recorder(std::size_t max_backed_bytes) : UnbackedMemory(max_backed_bytes) {}

  void attach(const CachingAllocator& allocator) { allocator_ = &allocator; }
  void watch(const parallel::ParameterStore* store) { store_ = store; }
  void begin_phase(std::string phase) { phase_ = std::move(phase); }

  void begin_op() override { look(); }
  void end_op() noexcept override { look(); }
  void look() noexcept;

  std::int64_t in_use() const { return allocator_->stats().bytes_in_use; }
  /// Everything that `body` allocates and frees counts as communication, but for the sums of gradients.
  template <typename Body>
  void communicate(const Body& body) {
    const std::int64_t before = in_use() - gradients();
    body();
    communication_ += in_use() - gradients() - before;
    look();
  }
  /// From here on what is allocated belongs to the head, until end_head_forward; what it has kept then goes with release_head.
  void begin_head() {
    head_begin_ = in_use() - communication_ - gradients();
    is_in_head_ = true;
  }
  void end_head_forward() {
    look();
    head_kept_ = in_use() - communication_ - gradients() - head_begin_;
    is_in_head_ = false;
  }
  void release_head() { head_kept_ = 0; }

  const PeakMoment& peak() const { return peak_; }

 private:
  std::int64_t gradients() const { return store_ != nullptr ? store_->memory().gradients : 0; }

  const CachingAllocator* allocator_ = nullptr;
  const parallel::ParameterStore* store_ = nullptr;
  std::int64_t communication_ = 0, head_begin_ = 0, head_kept_ = 0;
  bool is_in_head_ = false;
  std::string phase_;
  PeakMoment peak_;
};

/// Hands every call on to the store and tells the recorder what it moved.
class RecordedHooks : public nn::UnitHooks {
 public:
  RecordedHooks(parallel::ParameterStore& store, Recorder& recorder, int head_unit)
      : store_(store), recorder_(recorder), head_(head_unit) {}
  void acquire(int unit) override {
    recorder_.communicate([&] { store_.acquire(unit); });
  }
  void prefetch(int unit) override {
    recorder_.communicate([&] { store_.prefetch(unit); });
  }
  void release(int unit) override {
    recorder_.communicate([&] { store_.release(unit); });
  }
  void begin_gradients(int unit) override {
    recorder_.communicate([&] { store_.begin_gradients(unit); });
  }
  DType activation_dtype() const override { return store_.activation_dtype(); }
  void gradients_ready(int unit) override {
    if (unit == head_) recorder_.release_head();
    recorder_.communicate([&] { store_.gradients_ready(unit); });
  }

 private:
  parallel::ParameterStore& store_;
  Recorder& recorder_;
  int head_;
};

}  // namespace r1::plan
