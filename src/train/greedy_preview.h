// A few greedy completions of a model in training: what it writes now, for the log and the report.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/causal_lm.h"
#include "nn/unit_runner.h"

namespace r1::train {

/// Continues each prompt by the most likely token until one of stop_ids, max_new_tokens or the model's last position. Collective when the
/// parameters are spread over ranks: all of them give the same prompts.
std::vector<std::vector<std::int32_t>> greedy_completions(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner,
                                                          std::span<const std::vector<std::int32_t>> prompts,
                                                          std::span<const std::int32_t> stop_ids, std::int64_t max_new_tokens);

}  // namespace r1::train
