#include "nn/tensor_parallel.h"

#include <algorithm>
#include <numeric>

#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"

namespace r1::nn {

// blocks: the ranks' matrices one behind another.
Tensor TensorParallel::side_by_side(const ExecContext& ctx, const Tensor& blocks, std::int64_t num_rows,
                                    std::span<const std::int64_t> widths) {
  const std::int64_t width = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
  if (num_rows == 1) return blocks.view({1, width});
  Tensor whole = ctx.empty({num_rows, width}, blocks.dtype());
  std::int64_t column = 0;
  for (const std::int64_t own : widths) {
    Tensor target = whole.cols(column, column + own);
    ops::copy(ctx, blocks.slice(num_rows * column, {num_rows, own}), target);
    column += own;
  }
  return whole;
}

Tensor TensorParallel::gather_columns(const ExecContext& ctx, const Tensor& local, std::span<const std::int64_t> widths,
                                      std::string_view what) {
  const std::int64_t num_rows = local.dim(0);
  std::vector<std::int64_t> counts;
  for (const std::int64_t width : widths) counts.push_back(num_rows * width);
  Tensor blocks = ctx.empty({std::accumulate(counts.begin(), counts.end(), std::int64_t{0})}, local.dtype());
  ranks_.all_gather(ctx, local, blocks, counts, what).wait();
  return side_by_side(ctx, blocks, num_rows, widths);
}

Tensor TensorParallel::gather_columns_at_first(const ExecContext& ctx, const Tensor& local, std::span<const std::int64_t> widths,
                                               std::string_view what) {
  const std::int64_t num_rows = local.dim(0);
  std::vector<comm::ElementRange> sends(static_cast<std::size_t>(size())), receives(sends.size());
  sends[0] = {0, local.num_elements()};
  if (rank() > 0) {
    Tensor nothing = ctx.empty({0}, local.dtype());
    ranks_.all_to_all(ctx, local, sends, nothing, receives, what).wait();
    return {};
  }
  std::int64_t end = 0;
  for (std::size_t r = 0; r < receives.size(); ++r) {
    receives[r] = {end, end + num_rows * widths[r]};
    end = receives[r].end;
  }
  Tensor blocks = ctx.empty({end}, local.dtype());
  ranks_.all_to_all(ctx, local, sends, blocks, receives, what).wait();
  return side_by_side(ctx, blocks, num_rows, widths);
}

Tensor TensorParallel::embedding(const ExecContext& ctx, const Tensor& ids, const Tensor& local_table,
                                 std::span<const std::int64_t> borders, DType dtype) {
  const Tensor host_ids = ops::to_host(ctx, ids);
  const auto all_ids = host_ids.host_span<std::int32_t>();
  const auto owner_of = [&](std::int32_t id) {
    return static_cast<std::size_t>(std::ranges::upper_bound(borders.subspan(1), std::int64_t{id}) - borders.subspan(1).begin());
  };
  // The gathered rows stand by owner, in the order of the tokens there.
  std::vector<std::int32_t> num_of(static_cast<std::size_t>(size()), 0), places(all_ids.size()), own_rows;
  for (std::size_t t = 0; t < all_ids.size(); ++t) {
    const std::size_t owner = owner_of(all_ids[t]);
    places[t] = num_of[owner]++;
    if (static_cast<int>(owner) == rank()) own_rows.push_back(all_ids[t] - static_cast<std::int32_t>(borders[owner]));
  }
  std::vector<std::int32_t> first_of(num_of.size() + 1, 0);
  std::partial_sum(num_of.begin(), num_of.end(), first_of.begin() + 1);
  for (std::size_t t = 0; t < all_ids.size(); ++t) places[t] += first_of[owner_of(all_ids[t])];

  const auto to_device = [&](const std::vector<std::int32_t>& values) {
    return ops::to_device(ctx, Tensor::host_from<std::int32_t>(values, {static_cast<std::int64_t>(values.size())}, DType::kI32));
  };
  const std::int64_t columns = local_table.dim(1);
  const auto num_own = static_cast<std::int64_t>(own_rows.size());
  Tensor own = ctx.empty({num_own, columns}, dtype);
  if (num_own > 0) ops::embedding(ctx, to_device(own_rows), local_table, own);
  std::vector<std::int64_t> counts;
  for (const std::int32_t count : num_of) counts.push_back(count * columns);
  Tensor by_owner = ctx.empty({ids.dim(0), columns}, dtype);
  ranks_.all_gather(ctx, own, by_owner, counts, "embed_tokens").wait();
  Tensor out = ctx.empty({ids.dim(0), columns}, dtype);
  ops::embedding(ctx, to_device(places), by_owner, out);  // a table whose rows are looked up
  return out;
}

Var gathered(Pass& pass, const Var& x, std::span<const std::int64_t> widths, std::string_view what) {
  if (pass.tensor_parallel == nullptr) return x;
  R1_ASSERT(pass.tape == nullptr, "tensor parallelism carries no gradient");
  return {pass.tensor_parallel->gather_columns(pass.ctx, x.value, widths, what), -1};
}

}  // namespace r1::nn
