#include "models/model_part.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace r1::models {

IndexRange even_share(std::int64_t total, int part, int num_parts) { return {total * part / num_parts, total * (part + 1) / num_parts}; }

HeadShare head_share(const ModelConfig& config, int tensor_rank, int tensor_size) {
  const int num_groups = config.num_key_value_heads;
  const std::int64_t group_size = config.num_attention_heads / num_groups;
  if (tensor_size <= num_groups) {
    const IndexRange groups = even_share(num_groups, tensor_rank, tensor_size);
    return {{groups.begin * group_size, groups.end * group_size}, groups};
  }
  for (int group = 0; group < num_groups; ++group) {
    const IndexRange ranks = even_share(tensor_size, group, num_groups);
    if (tensor_rank >= ranks.end) continue;
    const IndexRange heads = even_share(group_size, static_cast<int>(tensor_rank - ranks.begin), static_cast<int>(ranks.size()));
    return {{group * group_size + heads.begin, group * group_size + heads.end}, {group, group + 1}};
  }
  fail(ErrorKind::kInternal, "tensor-parallel rank {} of {}", tensor_rank, tensor_size);
}

GatherWidths gather_widths(const ModelConfig& config, int tensor_size) {
  GatherWidths widths;
  widths.vocabulary_borders.push_back(0);
  for (int rank = 0; rank < tensor_size; ++rank) {
    widths.attention.push_back(head_share(config, rank, tensor_size).query.size() * config.head_dim);
    widths.hidden.push_back(even_share(config.hidden_size, rank, tensor_size).size());
    widths.intermediate.push_back(even_share(config.intermediate_size, rank, tensor_size).size());
    const IndexRange vocabulary = even_share(config.vocab_size, rank, tensor_size);
    widths.vocabulary.push_back(vocabulary.size());
    widths.vocabulary_borders.push_back(vocabulary.end);
  }
  return widths;
}

void check_model_can_be_cut(const ModelConfig& config, int tensor_size, int num_stages) {
  if (tensor_size > config.num_attention_heads) {
    fail(ErrorKind::kUsage, "--tensor-parallel-size {}: expected at most the model's {} attention heads: a rank has at least one",
         tensor_size, config.num_attention_heads);
  }
  const std::int64_t narrowest = std::min({config.hidden_size, config.intermediate_size, config.vocab_size});
  if (tensor_size > narrowest) {
    fail(ErrorKind::kUsage, "--tensor-parallel-size {}: expected at most {}, the smallest extent of the model's matrices", tensor_size,
         narrowest);
  }
  if (num_stages > config.num_hidden_layers) {
    fail(ErrorKind::kUsage, "--pipeline-parallel-size {}: expected at most the model's {} layers: a stage has at least one", num_stages,
         config.num_hidden_layers);
  }
}

std::vector<int> stage_borders(const std::vector<std::int64_t>& layer_bytes, std::int64_t before, std::int64_t behind, int num_stages) {
  const int num_layers = static_cast<int>(layer_bytes.size());
  R1_ASSERT(num_stages >= 1 && num_stages <= num_layers, "more stages than layers");
  // largest[s][l]: bytes of the largest stage when the first l layers form s stages.
  constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();
  const auto size = static_cast<std::size_t>(num_layers) + 1;
  std::vector<std::vector<std::int64_t>> largest(static_cast<std::size_t>(num_stages) + 1, std::vector<std::int64_t>(size, kNone));
  std::vector<std::vector<int>> last_begin(largest.size(), std::vector<int>(size, 0));
  largest[0][0] = 0;
  for (std::size_t stage = 1; stage < largest.size(); ++stage) {
    for (std::size_t end = stage; end < size; ++end) {
      std::int64_t bytes = (stage == largest.size() - 1 && end == size - 1) ? behind : 0;
      for (std::size_t begin = end; begin-- > stage - 1;) {
        bytes += layer_bytes[begin];
        if (largest[stage - 1][begin] == kNone) continue;
        const std::int64_t candidate = std::max(largest[stage - 1][begin], bytes + (begin == 0 ? before : 0));
        if (candidate >= largest[stage][end]) continue;
        largest[stage][end] = candidate;
        last_begin[stage][end] = static_cast<int>(begin);
      }
    }
  }
  std::vector<int> borders{num_layers};
  for (std::size_t stage = largest.size() - 1; stage > 0; --stage)
    borders.push_back(last_begin[stage][static_cast<std::size_t>(borders.back())]);
  std::ranges::reverse(borders);
  return borders;
}

}  // namespace r1::models
