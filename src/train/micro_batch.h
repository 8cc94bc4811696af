// The rows of one forward and backward pass, packed on the host.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/causal_lm.h"

namespace r1::train {

/// All tokens on one axis, without padding. Invariant: the three vectors have one entry per token.
struct MicroBatch {
  std::vector<std::int32_t> input_ids;
  std::vector<std::int32_t> position_ids;
  std::vector<std::int32_t> labels;            // what each position predicts (shifted), kIgnoreIndex where nothing counts
  std::vector<std::int64_t> sequence_lengths;  // attention stays inside each
  std::int64_t num_rows = 0;

  std::int64_t num_tokens() const { return static_cast<std::int64_t>(input_ids.size()); }
  std::int64_t num_labelled_tokens() const;

  /// Appends a row. labels are unshifted: labels[t] belongs to input_ids[t] and is predicted by t - 1; the first of each
  /// piece has no predecessor inside the piece and does not count. piece_lengths add up to the row; positions restart at
  /// each piece.
  void add_row(std::span<const std::int32_t> row_ids, std::span<const std::int32_t> row_labels,
               std::span<const std::int64_t> piece_lengths);
};

/// The batch on the device, with its labels.
struct DeviceBatch {
  models::TokenBatch tokens;
  Tensor labels;  // [num_tokens] i32
};
DeviceBatch to_device(const ExecContext& ctx, const MicroBatch& batch, std::int64_t vocab_size);

/// The forward pass of a rank that has no micro-batch left in a round: one token that counts nothing. The rank takes part in the
/// collectives of the units all the same.
void run_idle_forward(nn::Pass& pass, models::CausalLM& model);

/// Item i of a step was made by rank i mod N: the ranks' items (in rank order, each in its own order) as one list in item order.
template <typename T>
std::vector<T> in_index_order(const std::vector<std::vector<T>>& by_rank) {
  std::vector<T> items;
  for (std::size_t round = 0;; ++round) {
    for (const std::vector<T>& part : by_rank) {
      if (round >= part.size()) return items;
      items.push_back(part[round]);
    }
  }
}

}  // namespace r1::train
