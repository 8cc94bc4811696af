#include "engine/sampler.h"

#include <limits>

#include "base/rng.h"
#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/loss.h"

namespace r1::engine {
namespace {

bool must_go_on(const Sequence& sequence) {
  const SamplingParams& params = *sequence.request.params;
  return sequence.num_generated() < params.min_new_tokens && !params.stop_token_ids.empty() && !params.ignore_eos;
}

Tensor host_i32(const std::vector<std::int32_t>& values) {
  return Tensor::host_from<std::int32_t>(values, {static_cast<std::int64_t>(values.size())}, DType::kI32);
}

/// The log-probs belong to the model's own distribution, in which no token is forbidden.
struct Unmasked {
  std::vector<std::int64_t> rows;
  std::vector<Tensor> logits;  // [1, vocab_size] each
};

Unmasked forbid_stop_tokens(const ExecContext& ctx, Tensor& logits, std::span<Sequence* const> sequences) {
  Unmasked saved;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    if (!must_go_on(*sequences[i])) continue;
    const auto row_index = static_cast<std::int64_t>(i);
    const Tensor row = logits.rows(row_index, row_index + 1);
    Tensor copy = ctx.empty(row.shape());
    ops::copy(ctx, row, copy);
    saved.rows.push_back(row_index);
    saved.logits.push_back(copy);
    for (const std::int32_t id : sequences[i]->request.params->stop_token_ids) {
      if (id < 0 || id >= logits.dim(1)) continue;
      Tensor element = row.cols(id, id + 1);
      ops::fill(ctx, element, -std::numeric_limits<float>::infinity());
    }
  }
  return saved;
}

}  // namespace

DrawnTokens draw_tokens(const ExecContext& ctx, Tensor& logits, std::span<Sequence* const> sequences, std::uint64_t seed) {
  std::vector<ops::SamplingSettings> settings;
  std::vector<std::int32_t> seen, seen_offsets{0};
  std::vector<float> uniforms;
  for (const Sequence* sequence : sequences) {
    const Request& request = sequence->request;
    settings.push_back(request.params->settings);
    if (settings.back().repetition_penalty != 1) seen.insert(seen.end(), sequence->tokens.begin(), sequence->tokens.end());
    seen_offsets.push_back(static_cast<std::int32_t>(seen.size()));
    uniforms.push_back(token_uniform(seed, request.row_id, request.sample, static_cast<std::uint32_t>(sequence->num_generated())));
  }
  const auto num_rows = static_cast<std::int64_t>(sequences.size());
  const Tensor drawn = ctx.empty({2 * num_rows}, DType::kI32);  // one copy to the host: the step waits for it
  Tensor ids = drawn.slice(0, {num_rows}), log_probs = drawn.slice(num_rows, {num_rows}).as(DType::kF32);
  const Unmasked unmasked = forbid_stop_tokens(ctx, logits, sequences);
  ops::sample(ctx, logits, settings, ops::to_device(ctx, host_i32(seen)), ops::to_device(ctx, host_i32(seen_offsets)),
              ops::to_device(ctx, Tensor::host_from<float>(uniforms, {num_rows}, DType::kF32)), ids, &log_probs);
  for (std::size_t i = 0; i < unmasked.rows.size(); ++i) {
    const std::int64_t row = unmasked.rows[i];
    const float temperature = settings[static_cast<std::size_t>(row)].temperature;
    Tensor log_prob = log_probs.slice(row, {1});
    ops::log_probs_of_logits(ctx, unmasked.logits[i], ids.slice(row, {1}), temperature > 0 ? temperature : 1.0F, log_prob, nullptr);
  }
  const Tensor on_host = ops::to_host(ctx, drawn);
  const Tensor host_log_probs = on_host.slice(num_rows, {num_rows}).as(DType::kF32);
  const auto id_span = on_host.slice(0, {num_rows}).host_span<std::int32_t>();
  const auto log_prob_span = host_log_probs.host_span<float>();
  // A device cannot throw: it marks such a row. The CPU backend has said the same before.
  for (std::size_t i = 0; i < id_span.size(); ++i) {
    if (id_span[i] >= 0) continue;
    fail(ErrorKind::kNumeric,
         "row {}, sample {}: no token can be drawn at place {} of the completion: the model's output holds NaN or "
         "infinity; look at the weights, or at the learning rate that made them",
         sequences[i]->request.row_id, sequences[i]->request.sample, sequences[i]->num_generated());
  }
  return {{id_span.begin(), id_span.end()}, {log_prob_span.begin(), log_prob_span.end()}};
}

}  // namespace r1::engine
