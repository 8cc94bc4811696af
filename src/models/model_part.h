// Which part of a model a rank holds: some of its layers (a pipeline stage), and of each of them a share (tensor parallel).
#pragma once

#include <cstdint>
#include <vector>

#include "models/model_config.h"

namespace r1::models {

struct ModelPart {
  int tensor_rank = 0, tensor_size = 1;
  int first_layer = 0, end_layer = -1;  // layers [first_layer, end_layer); -1: to the last one

  bool is_whole(const ModelConfig& config) const {
    return tensor_size == 1 && first_layer == 0 && (end_layer < 0 || end_layer == config.num_hidden_layers);
  }
};

struct IndexRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

/// The part'th of num_parts ranges that cut [0, total) into sizes that differ by at most one.
IndexRange even_share(std::int64_t total, int part, int num_parts);

/// Query heads of a rank and the key/value heads that they attend to. Whole groups of query heads while there are at least as many
/// key/value heads as ranks; else each rank has a part of one group, and the ranks of a group hold the same key/value head.
struct HeadShare {
  IndexRange query, key_value;
};
HeadShare head_share(const ModelConfig& config, int tensor_rank, int tensor_size);

/// Columns that each rank adds when its features are gathered, in rank order.
struct GatherWidths {
  std::vector<std::int64_t> attention, hidden, intermediate, vocabulary;
  std::vector<std::int64_t> vocabulary_borders;  // tensor_size + 1
};
GatherWidths gather_widths(const ModelConfig& config, int tensor_size);

/// Throws Error(kUsage) when the model has too few query heads or layers for so many ranks, naming the flag.
void check_model_can_be_cut(const ModelConfig& config, int tensor_size, int num_stages);

/// Borders of the stages (num_stages + 1 layer indices) such that the largest stage has as few bytes as possible; every stage has a
/// layer. before and behind: bytes that the first and the last stage hold besides their layers.
std::vector<int> stage_borders(const std::vector<std::int64_t>& layer_bytes, std::int64_t before, std::int64_t behind, int num_stages);

}  // namespace r1::models
