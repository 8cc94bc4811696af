#include "train/greedy_preview.h"

#include <algorithm>

#include "ops/copy.h"

namespace r1::train {

std::vector<std::vector<std::int32_t>> greedy_completions(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner,
                                                          std::span<const std::vector<std::int32_t>> prompts,
                                                          std::span<const std::int32_t> stop_ids, std::int64_t max_new_tokens) {
  std::vector<std::vector<std::int32_t>> completions(prompts.size());
  std::vector<bool> finished(prompts.size(), false);
  const std::int64_t vocab_size = model.config().vocab_size;
  for (std::int64_t round = 0; round < max_new_tokens; ++round) {
    std::vector<std::int32_t> ids, positions;
    std::vector<std::int64_t> lengths;
    std::vector<std::size_t> owners;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      if (finished[i]) continue;
      ids.insert(ids.end(), prompts[i].begin(), prompts[i].end());
      ids.insert(ids.end(), completions[i].begin(), completions[i].end());
      lengths.push_back(static_cast<std::int64_t>(prompts[i].size() + completions[i].size()));
      for (std::int32_t position = 0; position < lengths.back(); ++position) positions.push_back(position);
      owners.push_back(i);
    }
    if (owners.empty()) break;
    nn::Pass pass{ctx, runner, nullptr};
    const models::TokenBatch batch = models::make_token_batch(ctx, ids, positions, lengths, vocab_size);
    const Tensor logits = ops::to_host(ctx, model.logits(pass, model.decode(pass, batch)));
    std::int64_t last = -1;
    for (std::size_t k = 0; k < owners.size(); ++k) {
      last += lengths[k];
      const auto row = logits.host_span<float>().subspan(static_cast<std::size_t>(last * vocab_size), static_cast<std::size_t>(vocab_size));
      const auto best = static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
      completions[owners[k]].push_back(best);
      finished[owners[k]] = std::find(stop_ids.begin(), stop_ids.end(), best) != stop_ids.end();
    }
  }
  return completions;
}

}  // namespace r1::train
