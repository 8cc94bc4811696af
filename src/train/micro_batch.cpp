#include "train/micro_batch.h"

#include <algorithm>

#include "ops/copy.h"

namespace r1::train {

std::int64_t MicroBatch::num_labelled_tokens() const {
  return std::count_if(labels.begin(), labels.end(), [](std::int32_t label) { return label != ops::kIgnoreIndex; });
}

void MicroBatch::add_row(std::span<const std::int32_t> row_ids, std::span<const std::int32_t> row_labels,
                         std::span<const std::int64_t> piece_lengths) {
  R1_ASSERT(row_ids.size() == row_labels.size(), "one label for each token");
  std::size_t begin = 0;
  for (const std::int64_t length : piece_lengths) {
    const std::size_t end = begin + static_cast<std::size_t>(length);
    R1_ASSERT(end <= row_ids.size(), "pieces longer than their row");
    for (std::size_t t = begin; t < end; ++t) {
      input_ids.push_back(row_ids[t]);
      position_ids.push_back(static_cast<std::int32_t>(t - begin));
      labels.push_back(t + 1 < end ? row_labels[t + 1] : ops::kIgnoreIndex);
    }
    if (length > 0) sequence_lengths.push_back(length);
    begin = end;
  }
  R1_ASSERT(begin == row_ids.size(), "pieces must add up to the row");
  ++num_rows;
}

DeviceBatch to_device(const ExecContext& ctx, const MicroBatch& batch, std::int64_t vocab_size) {
  for (const std::int32_t label : batch.labels) {
    if (label != ops::kIgnoreIndex && (label < 0 || label >= vocab_size)) {
      fail(ErrorKind::kData, "label {}: expected an id from 0 to {} or {} for none", label, vocab_size - 1, ops::kIgnoreIndex);
    }
  }
  return {models::make_token_batch(ctx, batch.input_ids, batch.position_ids, batch.sequence_lengths, vocab_size),
          ops::to_device(ctx, Tensor::host_from<std::int32_t>(batch.labels, {batch.num_tokens()}, DType::kI32))};
}

void run_idle_forward(nn::Pass& pass, models::CausalLM& model) {
  MicroBatch batch;
  const std::int32_t id[] = {0}, label[] = {ops::kIgnoreIndex};
  const std::int64_t piece[] = {1};
  batch.add_row(id, label, piece);
  const DeviceBatch on_device = to_device(pass.ctx, batch, model.config().vocab_size);
  model.cross_entropy(pass, model.decode(pass, on_device.tokens), on_device.labels, 0.0F);
}

}  // namespace r1::train
