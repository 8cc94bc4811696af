// Layers whose output features are spread over ranks; for inference.
//
// Every matrix is cut by output rows, so that each output element's whole sum is taken on one rank in the order of one rank's run:
// tensor parallelism changes no bit. What the next layer reads whole (attention heads, the residual stream, the MLP's inner activations)
// is gathered.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "comm/communicator.h"
#include "nn/functions.h"

namespace r1::nn {

class TensorParallel {
 public:
  /// Collective calls run on the communicator, which outlives this object.
  explicit TensorParallel(comm::Communicator& ranks) : ranks_(ranks) {}

  int rank() const { return ranks_.rank(); }
  int size() const { return ranks_.world_size(); }

  /// local [num_rows, widths[rank]] → [num_rows, sum of widths]: the ranks' columns side by side. Collective.
  Tensor gather_columns(const ExecContext& ctx, const Tensor& local, std::span<const std::int64_t> widths, std::string_view what);
  /// The same on rank 0 alone; undefined elsewhere. Collective.
  Tensor gather_columns_at_first(const ExecContext& ctx, const Tensor& local, std::span<const std::int64_t> widths, std::string_view what);

  /// Rows of a table of which rank r holds rows [borders[r], borders[r + 1]). ids [num_tokens] i32, the same on all ranks; the result
  /// [num_tokens, columns] f32 is on all ranks. Collective.
  Tensor embedding(const ExecContext& ctx, const Tensor& ids, const Tensor& local_table, std::span<const std::int64_t> borders,
                   DType dtype);

 private:
  Tensor side_by_side(const ExecContext& ctx, const Tensor& blocks, std::int64_t num_rows, std::span<const std::int64_t> widths);

  comm::Communicator& ranks_;
};

/// gather_columns of x when the pass is tensor-parallel; else x itself.
Var gathered(Pass& pass, const Var& x, std::span<const std::int64_t> widths, std::string_view what);

}  // namespace r1::nn
