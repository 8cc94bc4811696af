#include "train/rollout_engine.h"

#include <algorithm>

#include "engine/work_queue.h"

namespace r1::train {

RolloutEngine::RolloutEngine(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, std::int64_t longest_prompt,
                             const RolloutOptions& options, engine::RankLayout* layout)
    : ctx_(ctx), options_(options), layout_(layout), sampling_(std::make_shared<const engine::SamplingParams>(options.sampling)) {
  const std::int64_t positions = model.config().max_position_embeddings;
  if (longest_prompt >= positions) {
    fail(ErrorKind::kConfig,
         "a prompt has {} tokens, and the model has {} positions: nothing is left for a completion; lower max_prompt_length",
         longest_prompt, positions);
  }
  engine::EngineOptions engine_options;
  engine_options.seed = options_.seed;
  engine_options.max_model_len = std::min(positions, longest_prompt + sampling_->max_new_tokens);
  engine_options.kv_cache_bytes = options_.kv_cache_bytes;
  engine_options.enforce_eager = options_.enforce_eager;
  engine_options.ranks_sharing_memory = options_.ranks_sharing_memory;
  engine_options.max_num_sequences = options_.max_num_sequences;
  engine_options.ranks = layout_;
  engine_ = std::make_unique<engine::Engine>(ctx, model, runner, nullptr, engine_options);
}

void RolloutEngine::generate(comm::Communicator& ranks, const GrpoPrompts& prompts, std::span<const PromptDraw> draws,
                             const std::function<void(std::vector<FinishedItem>)>& on_finished) {
  const std::int64_t group = options_.num_generations;
  const std::int64_t num_items = static_cast<std::int64_t>(draws.size()) * group;
  const bool is_shared = layout_ != nullptr && !layout_->is_alone();
  const int num_engines = ranks.world_size() / (is_shared ? layout_->tensor_size() : 1);
  const engine::EngineStats before = engine_->stats();
  engine_->weights_changed();
  engine::WorkQueue queue(ranks, num_items);
  // Whole groups share a prefill; with several engines smaller helpings towards the end keep all of them busy.
  const std::int64_t helping = num_engines == 1 ? group : std::max<std::int64_t>(1, std::min(group, num_items / (4 * num_engines)));
  const auto take = [&] {
    if (!is_shared) return queue.take(helping);
    engine::WorkQueue::Items items;
    if (layout_->is_leader()) items = queue.take(helping);
    std::vector<std::int64_t> borders{items.begin, items.end};
    layout_->share_from_leader(ctx_, borders);
    return engine::WorkQueue::Items{borders[0], borders[1]};
  };

  std::int64_t in_flight = 0;
  bool exhausted = false;
  while (true) {
    while (!exhausted && in_flight < options_.max_num_sequences) {
      const engine::WorkQueue::Items items = take();
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
    std::vector<FinishedItem> finished;
    for (engine::Completion& done : engine_->step()) {
      --in_flight;
      if (is_shared && !layout_->is_leader()) continue;
      const auto draw = std::ranges::lower_bound(draws, static_cast<std::int64_t>(done.row_id), {}, &PromptDraw::number);
      FinishedItem& item = finished.emplace_back();
      item.item = (draw - draws.begin()) * group + static_cast<std::int64_t>(done.sample);
      item.completion.ids = std::move(done.ids);
      item.completion.log_probs = std::move(done.log_probs);
      item.completion.is_truncated = done.finish_reason != engine::FinishReason::kStop;
    }
    if (!finished.empty()) on_finished(std::move(finished));
  }
  const engine::EngineStats& after = engine_->stats();
  const std::int64_t slots = after.slot_steps - before.slot_steps;
  stats_.idle_slot_share = slots > 0 ? static_cast<double>(after.idle_slot_steps - before.idle_slot_steps) / static_cast<double>(slots) : 0;
  stats_.preemptions = after.preemptions - before.preemptions;
}

}  // namespace r1::train
