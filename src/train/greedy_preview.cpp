#include "train/greedy_preview.h"

#include <algorithm>
#include <memory>

#include "engine/engine.h"

namespace r1::train {

std::vector<std::vector<std::int32_t>> greedy_completions(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner,
                                                          std::span<const std::vector<std::int32_t>> prompts,
                                                          std::span<const std::int32_t> stop_ids, std::int64_t max_new_tokens) {
  engine::SamplingParams sampling;
  sampling.settings.temperature = 0;
  sampling.max_new_tokens = max_new_tokens;
  sampling.stop_token_ids.assign(stop_ids.begin(), stop_ids.end());
  const auto params = std::make_shared<const engine::SamplingParams>(std::move(sampling));
  std::vector<engine::Request> requests;
  std::int64_t longest = 0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    longest = std::max(longest, static_cast<std::int64_t>(prompts[i].size()));
    requests.push_back({i, 0, std::make_shared<const std::vector<std::int32_t>>(prompts[i]), params, {}});
  }
  engine::EngineOptions options;
  options.max_model_len = std::min(longest + max_new_tokens, static_cast<std::int64_t>(model.config().max_position_embeddings));
  options.max_num_sequences = static_cast<int>(std::max<std::size_t>(prompts.size(), 1));
  engine::Engine engine(ctx, model, runner, nullptr, options);
  std::vector<std::vector<std::int32_t>> completions;
  for (engine::Completion& completion : engine.generate(requests)) completions.push_back(std::move(completion.ids));
  return completions;
}

}  // namespace r1::train
