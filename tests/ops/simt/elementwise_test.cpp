#include "ops/elementwise.h"

#include <gmock/gmock.h>

#include "ops/op_scope.h"
#include "tests/ops/simt/compare.h"

#define R1_SIMT 1
#include "ops/cuda/movement.h"

namespace r1::test {
namespace {

TEST(SimtElementwise, FillsAddsAndScalesRowsWithAStride) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  for (const DType dtype : kStorageTypes) {
    for (const std::int64_t columns : {1, 5, 64, 1032}) {
      for (const std::int64_t padding : {0, 3, 8}) {
        SCOPED_TRACE(fmt::format("{} columns and {}, {}", columns, padding, dtype_name(dtype)));
        const std::int64_t rows = 3, width = columns + padding;
        const auto left = rounded(random_values(rows * width, 1), dtype), right = rounded(random_values(rows * width, 2), dtype);
        const auto run = [&](const ExecContext& ctx, const ops::OpTable& table, DType stored) -> Results {
          const auto whole = [&](const std::vector<float>& values) { return stored_tensor(ctx, {rows, width}, values, stored); };
          const Tensor a = whole(left), b = whole(right), sum = whole(right), scaled = whole(left), filled = whole(left),
                       copied = whole(right);
          Tensor sum_view = sum.cols(0, columns), scaled_view = scaled.cols(0, columns), filled_view = filled.cols(0, columns);
          Tensor copied_view = copied.cols(0, columns), zeroed = whole(left);
          ops::OpScope scope(ctx, "elementwise test");
          table.add(ctx, a.cols(0, columns), b.cols(0, columns), sum_view);
          table.scale(ctx, scaled_view, 0.75F);
          table.fill(ctx, filled_view, 1.5F);
          table.fill(ctx, zeroed, 0);
          table.copy(ctx, a.cols(0, columns), copied_view);
          return {floats_of(ctx, sum), floats_of(ctx, scaled), floats_of(ctx, filled), floats_of(ctx, zeroed), floats_of(ctx, copied)};
        };
        expect_close(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table(), dtype); }),
                     run(*reference, ops::reference_table(), DType::kF32), dtype == DType::kF32 ? 0.0 : 0x1p-8);
      }
    }
  }
}

// A flat buffer of parameters or gradients is one row: whole pieces of 16 bytes a thread, and only its last elements one by one.
TEST(SimtElementwise, TakesFlatBuffersInWholePieces) {
  for (const DType dtype : kStorageTypes) {
    const std::int64_t count = 20'003, per_thread = dtype == DType::kF32 ? 4 : 8;
    const auto values = rounded(random_values(count, 5), dtype);
    const auto ctx = make_simt_context();
    const Tensor x = stored_tensor(*ctx, {count}, values, dtype);
    Tensor sum = stored_tensor(*ctx, {count}, values, dtype), copied = ctx->empty({count}, dtype), filled = ctx->empty({count}, dtype);
    const auto threads_of = [&](const std::function<void()>& op) {
      const std::int64_t before = simt::launch_stats().threads;
      ops::OpScope scope(*ctx, "elementwise test");
      op();
      return simt::launch_stats().threads - before;
    };
    const std::int64_t most = count / per_thread + 2 * 256;
    EXPECT_LE(threads_of([&] { simt_table().add(*ctx, sum, x, sum); }), most);
    EXPECT_LE(threads_of([&] { simt_table().copy(*ctx, x, copied); }), most);
    EXPECT_LE(threads_of([&] { simt_table().fill(*ctx, filled, 3); }), most);
    EXPECT_LE(threads_of([&] { simt_table().scale(*ctx, filled, 2); }), most);
    const std::vector<float> sums = floats_of(*ctx, sum);
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(sums[i], rounded({values[i] + values[i]}, dtype)[0]) << i;
    EXPECT_EQ(floats_of(*ctx, copied), values);
    EXPECT_EQ(floats_of(*ctx, filled), std::vector<float>(values.size(), 6.0F));
  }
}

TEST(SimtElementwise, CastsBitForBit) {
  const auto reference = make_cpu_context(1, Backend::kReference);
  const std::pair<DType, DType> pairs[] = {{DType::kF32, DType::kBF16}, {DType::kF32, DType::kF16},    {DType::kBF16, DType::kF32},
                                           {DType::kF16, DType::kF32},  {DType::kF8E4M3, DType::kF32}, {DType::kF32, DType::kF32}};
  for (const auto& [from, to] : pairs) {
    for (const std::int64_t count : {1, 8, 2055}) {
      SCOPED_TRACE(fmt::format("{} of {} to {}", count, dtype_name(from), dtype_name(to)));
      const auto values = random_values(count, 3, 20.0);
      const auto run = [&](const ExecContext& ctx, const ops::OpTable& table) -> Results {
        Tensor x = stored_tensor(ctx, {count}, values, DType::kF32);
        ops::OpScope scope(ctx, "cast test");
        if (from == DType::kF8E4M3) {  // every byte but the NaNs
          std::vector<std::int8_t> bytes;
          for (std::int64_t i = 0; i < count; ++i) bytes.push_back(static_cast<std::int8_t>(i % 127));
          Tensor host = Tensor::host({count}, DType::kF8E4M3);
          std::copy(bytes.begin(), bytes.end(), host.host_span<std::int8_t>().begin());
          x = ops::to_device(ctx, host);
        } else if (from != DType::kF32) {
          Tensor narrow = ctx.empty({count}, from);
          table.cast(ctx, x, narrow);
          x = narrow;
        }
        Tensor out = ctx.empty({count}, to);
        table.cast(ctx, x, out);
        if (to == DType::kF32) return {floats_of(ctx, out)};
        std::vector<float> bits;
        const Tensor host = ops::to_host(ctx, out);
        for (const std::uint16_t value : host.host_span<std::uint16_t>()) bits.push_back(value);
        return {bits};
      };
      EXPECT_EQ(on_all_schedules([&](const ExecContext& ctx) { return run(ctx, simt_table()); }), run(*reference, ops::reference_table()));
    }
  }
}

TEST(SimtMovement, GathersAndScattersRows) {
  for (const DType dtype : kStorageTypes) {
    for (const std::int64_t columns : {1, 6, 16}) {
      const auto values = rounded(random_values(5 * columns, 9), dtype);
      const std::vector<std::int32_t> rows = {4, -1, 0, 2};
      const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
        const Tensor x = stored_tensor(ctx, {5, columns}, values, dtype), index = device_tensor(ctx, {4}, rows);
        Tensor gathered = stored_tensor(ctx, {4, columns}, std::vector<float>(static_cast<std::size_t>(4 * columns), 7.0F), dtype);
        Tensor scattered = stored_tensor(ctx, {5, columns}, std::vector<float>(static_cast<std::size_t>(5 * columns), 7.0F), dtype);
        ops::OpScope scope(ctx, "movement test");
        ops::simt_backend::gather_rows(ctx, x, index, gathered);
        ops::simt_backend::scatter_rows(ctx, x.rows(0, 4), index, scattered);
        return {floats_of(ctx, gathered), floats_of(ctx, scattered)};
      });
      for (std::int64_t r = 0; r < 5; ++r) {
        for (std::int64_t i = 0; i < columns; ++i) {
          const auto at = static_cast<std::size_t>(r * columns + i);
          const auto source = [&](std::int64_t row) { return row < 0 ? 7.0F : values[static_cast<std::size_t>(row * columns + i)]; };
          if (r < 4) EXPECT_EQ(found[0][at], source(rows[static_cast<std::size_t>(r)]));
          EXPECT_EQ(found[1][at], source(std::vector<std::int64_t>{2, -1, 3, -1, 0}[static_cast<std::size_t>(r)]));
        }
      }
    }
  }
}

TEST(SimtMovement, MovesSegmentsOfFlatBuffers) {
  const std::vector<ops::simt_backend::SegmentMove> segments = {{0, 64, 40}, {40, 3, 17}, {64, 128, 1}, {72, 136, 64}, {9, 30, 0}};
  for (const DType dtype : kStorageTypes) {
    const auto values = rounded(random_values(200, 10), dtype), before = rounded(random_values(200, 11), dtype);
    std::vector<float> expected = before;
    for (const auto& s : segments) std::copy_n(values.begin() + s.from, s.count, expected.begin() + s.to);
    const Results found = on_all_schedules([&](const ExecContext& ctx) -> Results {
      const Tensor x = stored_tensor(ctx, {200}, values, dtype);
      Tensor out = stored_tensor(ctx, {200}, before, dtype);
      ops::OpScope scope(ctx, "movement test");
      ops::simt_backend::move_segments(ctx, x, segments, out);
      return {floats_of(ctx, out)};
    });
    EXPECT_EQ(found[0], expected);
  }
}

}  // namespace
}  // namespace r1::test
