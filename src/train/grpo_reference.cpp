// Log-probabilities of the reference model, some of them computed while completions are still being generated.
#include <chrono>
#include <cstring>

#include "ops/copy.h"
#include "train/grpo.h"

namespace r1::train {

GrpoObjective::PackedCompletions GrpoObjective::pack(std::span<const RolloutCompletion* const> completions) const {
  PackedCompletions packed;
  MicroBatch& batch = packed.tokens;
  for (const RolloutCompletion* completion : completions) {
    const std::vector<std::int32_t>& prompt = *parts_.prompts.prompts[static_cast<std::size_t>(completion->prompt)].ids;
    packed.first_label.push_back(batch.input_ids.size() + prompt.size() - 1);
    // The last token predicts nothing: it is a label alone.
    batch.input_ids.insert(batch.input_ids.end(), prompt.begin(), prompt.end());
    batch.input_ids.insert(batch.input_ids.end(), completion->ids.begin(), completion->ids.end() - 1);
    batch.labels.insert(batch.labels.end(), prompt.size() - 1, ops::kIgnoreIndex);
    batch.labels.insert(batch.labels.end(), completion->ids.begin(), completion->ids.end());
    const std::size_t length = prompt.size() + completion->ids.size() - 1;
    for (std::size_t position = 0; position < length; ++position) batch.position_ids.push_back(static_cast<std::int32_t>(position));
    batch.sequence_lengths.push_back(static_cast<std::int64_t>(length));
    ++batch.num_rows;
  }
  return packed;
}

std::vector<float> GrpoObjective::reference_log_probs(const MicroBatch& packed, const DeviceBatch& batch) {
  const auto begin = std::chrono::steady_clock::now();
  const ExecContext& ctx = parts_.trainer.ctx;
  nn::Pass pass{ctx, *parts_.reference->runner, nullptr};
  models::CausalLM& model = *parts_.reference->model;
  const Tensor log_probs =
      ops::to_host(ctx, model.log_probs(pass, model.decode(pass, batch.tokens), batch.labels, log_prob_temperature_).log_probs.value);
  R1_ASSERT(log_probs.num_elements() == packed.num_tokens(), "one reference log-probability per token");
  timings_.log_prob += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto values = log_probs.host_span<float>();
  return {values.begin(), values.end()};
}

bool GrpoObjective::compute_reference_ahead(std::vector<RolloutCompletion>& completions, const std::vector<bool>& has_arrived) {
  std::vector<RolloutCompletion*> chosen;
  for (auto i = static_cast<std::size_t>(rank()); i < completions.size(); i += static_cast<std::size_t>(num_ranks())) {
    RolloutCompletion& completion = completions[i];
    const bool is_masked = config_.mask_truncated_completions && completion.is_truncated;
    if (!has_arrived[i] || is_masked || !completion.reference_log_probs.empty()) continue;
    chosen.push_back(&completion);
    if (chosen.size() == static_cast<std::size_t>(config_.per_device_train_batch_size)) break;
  }
  if (chosen.empty()) return false;
  const PackedCompletions packed = pack(std::vector<const RolloutCompletion*>(chosen.begin(), chosen.end()));
  const DeviceBatch batch = to_device(parts_.trainer.ctx, packed.tokens, parts_.trainer.model.config().vocab_size);
  const std::vector<float> log_probs = reference_log_probs(packed.tokens, batch);
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    const auto begin = log_probs.begin() + static_cast<std::ptrdiff_t>(packed.first_label[row]);
    chosen[row]->reference_log_probs.assign(begin, begin + static_cast<std::ptrdiff_t>(chosen[row]->ids.size()));
  }
  return true;
}

void GrpoObjective::share_reference(std::vector<RolloutCompletion>& completions) {
  if (num_ranks() == 1) return;
  std::vector<std::int64_t> computed;
  std::vector<float> values;
  for (auto i = static_cast<std::size_t>(rank()); i < completions.size(); i += static_cast<std::size_t>(num_ranks())) {
    const std::vector<float>& log_probs = completions[i].reference_log_probs;
    if (log_probs.empty()) continue;
    computed.push_back(static_cast<std::int64_t>(i));
    values.insert(values.end(), log_probs.begin(), log_probs.end());
  }
  comm::Communicator& trainers = parts_.trainer.store.communicator();
  const auto all_computed = trainers.host_gather_values(std::span<const std::int64_t>(computed), "reference log-probabilities");
  const auto all_values = trainers.host_gather_values(std::span<const float>(values), "reference log-probabilities");
  for (std::size_t r = 0; r < all_computed.size(); ++r) {
    auto at = all_values[r].begin();
    for (const std::int64_t i : all_computed[r]) {
      RolloutCompletion& completion = completions[static_cast<std::size_t>(i)];
      const auto end = at + static_cast<std::ptrdiff_t>(completion.ids.size());
      completion.reference_log_probs.assign(at, end);
      at = end;
    }
  }
}

}  // namespace r1::train
