// Cases of what works element by element: movement, casts, reductions, AdamW.
#include "tools/gpu/parity.h"

namespace r1::gpu {
namespace {

ParityCase elementwise_case(std::int64_t columns, std::int64_t padding, DType dtype) {
  const auto run = [columns, padding, dtype](const ExecContext& ctx, DType stored) -> Results {
    const std::int64_t rows = 3, width = columns + padding;
    const auto whole = [&](std::uint64_t seed) {
      return stored_tensor(ctx, {rows, width}, rounded(random_values(rows * width, seed), dtype), stored);
    };
    const Tensor a = whole(1), b = whole(2), sum = whole(2), scaled = whole(1), filled = whole(1), copied = whole(2);
    Tensor zeroed = whole(1), sum_view = sum.cols(0, columns), scaled_view = scaled.cols(0, columns), filled_view = filled.cols(0, columns),
           copied_view = copied.cols(0, columns);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.add(ctx, a.cols(0, columns), b.cols(0, columns), sum_view);
    table.scale(ctx, scaled_view, 0.75F);
    table.fill(ctx, filled_view, 1.5F);
    table.fill(ctx, zeroed, 0);
    table.copy(ctx, a.cols(0, columns), copied_view);
    return {floats_of(ctx, sum), floats_of(ctx, scaled), floats_of(ctx, filled), floats_of(ctx, zeroed), floats_of(ctx, copied)};
  };
  const double one = dtype == DType::kBF16 ? 0x1p-8 : 0.0;
  return {{"add", "scale", "fill", "copy"}, fmt::format("3 x {} of {}", columns, columns + padding), dtype, run, {one, one, 0, 0, 0}};
}

/// One long row, as gradients and moments are.
ParityCase flat_case(std::int64_t count, DType dtype) {
  const auto run = [count, dtype](const ExecContext& ctx, DType stored) -> Results {
    std::vector<float> values(static_cast<std::size_t>(count)), others(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(i * 7919 % 10007) * 1e-3F - 5.0F;
      others[i] = static_cast<float>(i * 104729 % 9973) * 1e-3F - 5.0F;
    }
    const Tensor a = stored_tensor(ctx, {count}, rounded(values, dtype), stored),
                 b = stored_tensor(ctx, {count}, rounded(others, dtype), stored);
    Tensor sum = poisoned_tensor(ctx, {count}, stored), scaled = stored_tensor(ctx, {count}, rounded(values, dtype), stored),
           filled = poisoned_tensor(ctx, {count}, stored), copied = poisoned_tensor(ctx, {count}, stored);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.add(ctx, a, b, sum);
    table.scale(ctx, scaled, 0.75F);
    table.fill(ctx, filled, 1.5F);
    table.copy(ctx, a, copied);
    return {floats_of(ctx, sum), floats_of(ctx, scaled), floats_of(ctx, filled), floats_of(ctx, copied)};
  };
  const double one = dtype == DType::kBF16 ? 0x1p-8 : 0.0;
  return {{"add", "scale", "fill", "copy"}, fmt::format("{} elements in one row", count), dtype, run, {one, one, 0, 0}};
}

/// f32 → dtype → f32: the values that the storage type holds.
ParityCase cast_case(std::int64_t count, DType dtype) {
  const auto run = [count, dtype](const ExecContext& ctx, DType) -> Results {
    const Tensor x = stored_tensor(ctx, {count}, random_values(count, 3, 20.0), DType::kF32);
    Results results;
    for (const DType other : {dtype, DType::kF16}) {
      Tensor narrow = ctx.empty({count}, other), back = ctx.empty({count});
      const ops::OpTable& table = ops::op_table(ctx);
      ops::OpScope scope(ctx, "gpu_check");
      table.cast(ctx, x, narrow);
      table.cast(ctx, narrow, back);
      results.push_back(floats_of(ctx, back));
    }
    return results;
  };
  return {{"cast"}, fmt::format("{} elements", count), dtype, run, {0, 0}};
}

/// Bits are promised: the order of the sums is the same on every backend. offset 1: not aligned to 16 bytes.
ParityCase reduce_case(std::int64_t count, std::int64_t offset, DType dtype) {
  const auto run = [count, offset, dtype](const ExecContext& ctx, DType stored) -> Results {
    const Tensor x = stored_tensor(ctx, {count + offset}, rounded(random_values(count + offset, 8), dtype), stored).slice(offset, {count});
    Tensor squares = ctx.empty({(count + ops::kReduceBlock - 1) / ops::kReduceBlock}, DType::kF64),
           sums = ctx.empty(squares.shape(), DType::kF64);
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.sum_squares_blocks(ctx, x, squares);
    table.sum_blocks(ctx, x, sums);
    return {floats_of(ctx, squares), floats_of(ctx, sums)};
  };
  return {{"sum_squares_blocks", "sum_blocks"}, fmt::format("{} elements from {}", count, offset), dtype, run, {0, 0}};
}

/// Bits are promised here too. dtype is the gradient's; the parameter and its moments are f32.
ParityCase adamw_case(std::int64_t count, std::int64_t offset, DType dtype) {
  const auto run = [count, offset, dtype](const ExecContext& ctx, DType stored) -> Results {
    const auto piece = [&](std::vector<float> values, DType type) {
      return stored_tensor(ctx, {count + 1}, values, type).slice(offset, {count});
    };
    auto squares = random_values(count + 1, 4, 0.1);
    for (float& value : squares) value = value * value;
    Tensor parameter = piece(random_values(count + 1, 1), DType::kF32), exp_avg = piece(random_values(count + 1, 3, 0.1), DType::kF32),
           exp_avg_sq = piece(squares, DType::kF32), copy = piece(random_values(count + 1, 1), DType::kBF16);
    const Tensor gradient = piece(rounded(random_values(count + 1, 2), dtype), stored);
    const ops::AdamWStep step{1e-2, 0.9, 0.95, 1e-8, 0.1, 3, 0.7};
    const ops::OpTable& table = ops::op_table(ctx);
    ops::OpScope scope(ctx, "gpu_check");
    table.adamw(ctx, parameter, gradient, exp_avg, exp_avg_sq, step, nullptr);
    table.adamw(ctx, parameter, gradient, exp_avg, exp_avg_sq, step, &copy);
    return {floats_of(ctx, parameter), floats_of(ctx, exp_avg), floats_of(ctx, exp_avg_sq), floats_of(ctx, copy)};
  };
  return {{"adamw"}, fmt::format("{} elements from {}", count, offset), dtype, run, {0, 0, 0, 0}};
}

}  // namespace

void add_flat_cases(DType dtype, std::vector<ParityCase>& cases) {
  // More than the threads of a launch, and an end off every boundary.
  for (const std::int64_t count : {std::int64_t{1} << 20, (std::int64_t{1} << 20) + 12'347}) cases.push_back(flat_case(count, dtype));
}

void add_optimizer_cases(DType dtype, std::vector<ParityCase>& cases) {
  for (const std::int64_t columns : {1, 5, 64, 1032}) {
    for (const std::int64_t padding : {0, 3, 8}) cases.push_back(elementwise_case(columns, padding, dtype));
  }
  for (const std::int64_t count : {1, 8, 2055}) cases.push_back(cast_case(count, dtype));
  for (const std::int64_t offset : {0, 1}) {
    for (const std::int64_t count : {1, 9, 1023, 1024, 1029, 9 * 1024 + 517}) cases.push_back(reduce_case(count, offset, dtype));
    for (const std::int64_t count : {1, 7, 8, 33, 2056, 5001}) cases.push_back(adamw_case(count, offset, dtype));
  }
}

}  // namespace r1::gpu
