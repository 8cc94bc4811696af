// What bench_ops measures: the ops of a training step and of a decode step, and the case tables of the tests.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "ops/types.h"
#include "tensor/dtype.h"

namespace r1::bench {

struct ModelShape {
  std::int64_t tokens, hidden_size, intermediate_size, num_layers, num_heads, num_key_value_heads, head_dim, vocab_size, parameters;
  DType dtype = DType::kF32;  // of activations and weights; the optimizer's state, losses and the head's weight gradient are f32
};

/// What one line of the table measures; work of one call. The closure owns its tensors. bytes: each operand once, as often as it is read
/// and written by any implementation.
struct Case {
  std::string name;
  double calls_per_step, flops, bytes;
  std::function<void()> run;
  bool is_memory_bound = false;  // its bytes take longer than its arithmetic on every machine
};

// Tensors with values that no op can short-cut.
Tensor filled(const ExecContext& ctx, Shape shape, DType dtype = DType::kF32);
Tensor integers(const ExecContext& ctx, std::int64_t count, std::int64_t modulus);
Tensor from_list(const ExecContext& ctx, const std::vector<std::int32_t>& values);
double bytes_of(std::initializer_list<Tensor> tensors);

/// Every op of one training step, and the two that only a decode step has. working_set_bytes: each op takes turns on as many copies of its
/// tensors as have that many bytes together, so that no cache holds what it reads; 0: one copy.
std::vector<Case> step_cases(const ExecContext& ctx, const ModelShape& shape, double working_set_bytes = 0);

/// Every case of tests/ops/*_cases.h, forward and backward: what is tested is what is timed.
std::vector<Case> table_cases(const ExecContext& ctx);

}  // namespace r1::bench
