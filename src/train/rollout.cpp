#include "train/rollout.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/json.h"
#include "engine/work_queue.h"

namespace r1::train {
namespace {

/// A completion as bytes: item, flag, length, ids, log-probs.
struct PackedHeader {
  std::int64_t item = 0;
  std::int64_t is_truncated = 0;
  std::int64_t num_tokens = 0;
};

template <typename T>
void append(std::vector<std::byte>& bytes, const T* values, std::size_t count) {
  const auto* begin = reinterpret_cast<const std::byte*>(values);
  bytes.insert(bytes.end(), begin, begin + count * sizeof(T));
}

template <typename T>
void take(std::span<const std::byte>& bytes, T* values, std::size_t count) {
  R1_ASSERT(bytes.size() >= count * sizeof(T), "a rank sent a cut completion");
  std::memcpy(values, bytes.data(), count * sizeof(T));
  bytes = bytes.subspan(count * sizeof(T));
}

}  // namespace

Rollout::Rollout(const TrainerParts& parts, const text::Tokenizer& tokenizer, std::int64_t longest_prompt, RolloutOptions options)
    : parts_(parts),
      tokenizer_(tokenizer),
      options_(std::move(options)),
      sampling_(std::make_shared<const engine::SamplingParams>(options_.sampling)) {
  const std::int64_t positions = parts_.model.config().max_position_embeddings;
  if (longest_prompt >= positions) {
    fail(ErrorKind::kConfig,
         "a prompt has {} tokens, and the model has {} positions: nothing is left for a completion; lower max_prompt_length",
         longest_prompt, positions);
  }
  engine::EngineOptions engine_options;
  engine_options.seed = options_.seed;
  engine_options.max_model_len = std::min(positions, longest_prompt + sampling_->max_new_tokens);
  engine_options.kv_cache_bytes = options_.kv_cache_bytes;
  engine_options.ranks_on_host = options_.ranks_on_host;
  engine_options.max_num_sequences = options_.max_num_sequences;
  engine_ = std::make_unique<engine::Engine>(parts_.ctx, parts_.model, parts_.runner, nullptr, engine_options);
}

std::vector<RolloutCompletion> Rollout::generate(const GrpoPrompts& prompts, std::span<const PromptDraw> draws) {
  const std::int64_t group = options_.num_generations;
  const std::int64_t num_items = static_cast<std::int64_t>(draws.size()) * group;
  const engine::EngineStats before = engine_->stats();
  parts_.store.materialize();
  engine_->weights_changed();
  engine::WorkQueue queue(parts_.store.communicator(), num_items);
  const int num_ranks = parts_.store.communicator().world_size();
  // Whole groups share a prefill; with several ranks smaller helpings towards the end keep all of them busy.
  const std::int64_t helping = num_ranks == 1 ? group : std::max<std::int64_t>(1, std::min(group, num_items / (4 * num_ranks)));

  std::vector<RolloutCompletion> own;
  std::int64_t in_flight = 0;
  bool exhausted = false;
  while (true) {
    while (!exhausted && in_flight < options_.max_num_sequences) {
      const engine::WorkQueue::Items items = queue.take(helping);
      exhausted = items.empty();
      for (std::int64_t item = items.begin; item < items.end; ++item) {
        const PromptDraw& draw = draws[static_cast<std::size_t>(item / group)];
        engine_->add({static_cast<std::uint64_t>(draw.number),
                      static_cast<std::uint32_t>(item % group),
                      prompts.prompts[static_cast<std::size_t>(draw.prompt)].ids,
                      sampling_,
                      {}});
        ++in_flight;
      }
    }
    if (!engine_->has_unfinished()) break;
    for (engine::Completion& done : engine_->step()) {
      --in_flight;
      RolloutCompletion completion;
      completion.prompt_number = static_cast<std::int64_t>(done.row_id);
      completion.sample = static_cast<std::int32_t>(done.sample);
      completion.ids = std::move(done.ids);
      completion.log_probs = std::move(done.log_probs);
      completion.is_truncated = done.finish_reason != engine::FinishReason::kStop;
      own.push_back(std::move(completion));
    }
  }
  parts_.store.communicator().barrier("rollout");
  parts_.store.release_materialized();
  const engine::EngineStats& after = engine_->stats();
  const std::int64_t slots = after.slot_steps - before.slot_steps;
  idle_slot_share_ = slots > 0 ? static_cast<double>(after.idle_slot_steps - before.idle_slot_steps) / static_cast<double>(slots) : 0;
  preemptions_ = after.preemptions - before.preemptions;
  return gather(std::move(own), draws);
}

std::vector<RolloutCompletion> Rollout::gather(std::vector<RolloutCompletion> own, std::span<const PromptDraw> draws) const {
  const auto group = static_cast<std::size_t>(options_.num_generations);
  std::vector<RolloutCompletion> all(draws.size() * group);
  const auto item_of = [&](const RolloutCompletion& completion) {
    // Numbers ascend with the draws.
    const auto draw = std::ranges::lower_bound(draws, completion.prompt_number, {}, &PromptDraw::number);
    return static_cast<std::size_t>(draw - draws.begin()) * group + static_cast<std::size_t>(completion.sample);
  };
  if (parts_.store.communicator().world_size() == 1) {
    for (RolloutCompletion& completion : own) all[item_of(completion)] = std::move(completion);
  } else {
    std::vector<std::byte> bytes;
    for (const RolloutCompletion& completion : own) {
      const PackedHeader header{static_cast<std::int64_t>(item_of(completion)), completion.is_truncated ? 1 : 0,
                                static_cast<std::int64_t>(completion.ids.size())};
      append(bytes, &header, 1);
      append(bytes, completion.ids.data(), completion.ids.size());
      append(bytes, completion.log_probs.data(), completion.log_probs.size());
    }
    for (const std::vector<std::byte>& part : parts_.store.communicator().host_gather(bytes, "completions")) {
      for (std::span<const std::byte> rest = part; !rest.empty();) {
        PackedHeader header;
        take(rest, &header, 1);
        RolloutCompletion& completion = all.at(static_cast<std::size_t>(header.item));
        completion.is_truncated = header.is_truncated != 0;
        completion.ids.resize(static_cast<std::size_t>(header.num_tokens));
        completion.log_probs.resize(completion.ids.size());
        take(rest, completion.ids.data(), completion.ids.size());
        take(rest, completion.log_probs.data(), completion.log_probs.size());
      }
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].prompt = draws[i / group].prompt;
    all[i].prompt_number = draws[i / group].number;
    all[i].sample = static_cast<std::int32_t>(i % group);
    all[i].text = tokenizer_.decode(all[i].ids, {.skip_special_tokens = true});
  }
  return all;
}

void score_completions(const rewards::WeightedRewards& rewards, const GrpoPrompts& prompts, int group_size, ThreadPool& threads,
                       std::vector<RolloutCompletion>& completions) {
  std::vector<Json> rows;  // one per group
  for (std::size_t i = 0; i < completions.size(); i += static_cast<std::size_t>(group_size)) {
    rows.push_back(prompts.dataset->row(prompts.prompts[static_cast<std::size_t>(completions[i].prompt)].row));
  }
  std::vector<rewards::Completion> to_score;
  for (std::size_t i = 0; i < completions.size(); ++i) {
    const std::size_t group = i / static_cast<std::size_t>(group_size);
    to_score.push_back({completions[i].text, prompts.opened, static_cast<std::int64_t>(completions[i].ids.size()),
                        static_cast<std::int64_t>(group), &rows[group]});
  }
  const rewards::RewardScores scores = rewards.score(to_score, &threads);
  for (std::size_t i = 0; i < completions.size(); ++i) {
    completions[i].rewards.clear();
    for (std::size_t f = 0; f < scores.by_function.size(); ++f) {
      const rewards::RewardResult& result = scores.by_function[f][i];
      if (result.value && !std::isfinite(*result.value)) {
        fail(ErrorKind::kNumeric, "reward {} of {} is {}; expected a finite number or null", rewards.functions()[f]->name(),
             prompts.dataset->where(prompts.prompts[static_cast<std::size_t>(completions[i].prompt)].row), *result.value);
      }
      completions[i].rewards.push_back(result);
    }
    completions[i].reward = scores.total[i];
  }
}

}  // namespace r1::train
