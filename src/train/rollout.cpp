#include "train/rollout.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>

#include "base/json.h"
#include "comm/activity.h"
#include "train/completion_codec.h"
#include "train/generator_link.h"

namespace r1::train {
namespace {

/// The completions of a rollout on a trainer, as they arrive.
class Collected {
 public:
  Collected(const RolloutRequest& request, const text::Tokenizer& tokenizer, int num_generations, const RolloutObserver& observer)
      : tokenizer_(tokenizer), group_(static_cast<std::size_t>(num_generations)), observer_(observer) {
    completions.resize(request.draws.size() * group_);
    has_arrived.resize(completions.size(), false);
    missing_.resize(request.draws.size(), num_generations);
    for (std::size_t i = 0; i < completions.size(); ++i) {
      completions[i].prompt = request.draws[i / group_].prompt;
      completions[i].prompt_number = request.draws[i / group_].number;
      completions[i].sample = static_cast<std::int32_t>(i % group_);
    }
  }

  void add(std::vector<FinishedItem> items) {
    for (FinishedItem& finished : items) {
      const auto i = static_cast<std::size_t>(finished.item);
      R1_ASSERT(i < completions.size() && !has_arrived[i], "a completion that nobody asked for, or a second time");
      RolloutCompletion& completion = completions[i];
      completion.ids = std::move(finished.completion.ids);
      completion.log_probs = std::move(finished.completion.log_probs);
      completion.is_truncated = finished.completion.is_truncated;
      completion.text = tokenizer_.decode(completion.ids, {.skip_special_tokens = true});
      has_arrived[i] = true;
      --missing_[i / group_];
    }
  }

  /// Shows the observer the groups that have become complete.
  void show_groups() {
    for (std::size_t g = 0; g < missing_.size(); ++g) {
      if (missing_[g] != 0) continue;
      std::size_t end = g;
      while (end < missing_.size() && missing_[end] == 0) missing_[end++] = kShown;
      num_shown_ += end - g;
      observer_.on_groups(std::span(completions).subspan(g * group_, (end - g) * group_));
      g = end - 1;
    }
  }

  bool is_complete() const { return num_shown_ == missing_.size(); }

  std::vector<RolloutCompletion> completions;
  std::vector<bool> has_arrived;

 private:
  static constexpr int kShown = -1;
  const text::Tokenizer& tokenizer_;
  std::size_t group_;
  const RolloutObserver& observer_;
  std::vector<int> missing_;  // completions of each group
  std::size_t num_shown_ = 0;
};

class ColocatedRollout : public Rollout {
 public:
  ColocatedRollout(const TrainerParts& parts, const text::Tokenizer& tokenizer, std::int64_t longest_prompt, const RolloutOptions& options)
      : parts_(parts), tokenizer_(tokenizer), num_generations_(options.num_generations) {
    comm::Communicator& ranks = parts.store.communicator();
    if (options.tensor_parallel_size > 1) {
      layout_ = std::make_unique<engine::RankLayout>(ranks, options.tensor_parallel_size, /*num_stages=*/1);
      share_ = std::make_unique<RolloutModel>(parts.ctx, parts.model.config(), layout_->tensor_rank(), layout_->tensor_size(),
                                              parts.runner.activation_dtype());
    }
    engine_ = std::make_unique<RolloutEngine>(parts.ctx, share_ ? share_->model() : parts.model, share_ ? share_->runner() : parts.runner,
                                              longest_prompt, options, layout_.get());
  }

  std::vector<RolloutCompletion> generate(const RolloutRequest& request, const RolloutObserver& observer) override {
    comm::Communicator& ranks = parts_.store.communicator();
    if (request.weights_version != weights_.version) {
      weights_ = {request.weights_version, checksum_of(parts_.ctx, parts_.store)};
      if (share_) take_share();
    }
    if (!share_) parts_.store.materialize();
    std::vector<FinishedItem> own;
    engine_->generate(ranks, request.prompts, request.draws,
                      [&](std::vector<FinishedItem> items) { std::ranges::move(items, std::back_inserter(own)); });
    ranks.barrier("rollout");
    if (!share_) parts_.store.release_materialized();
    Collected collected(request, tokenizer_, num_generations_, observer);
    if (ranks.world_size() == 1) {
      collected.add(std::move(own));
    } else {
      for (const std::vector<std::byte>& part : ranks.host_gather(pack_items(own), "completions")) collected.add(unpack_items(part));
    }
    collected.show_groups();
    R1_ASSERT(collected.is_complete(), "completions are missing");
    return std::move(collected.completions);
  }

  RolloutStats stats() const override { return engine_->stats(); }
  WeightsStamp weights() const override { return weights_; }

 private:
  /// This rank's rows of every unit. No more than a unit is gathered at a time.
  void take_share() {
    nn::ParameterSet& whole = parts_.model.parameters();
    for (int unit = 0; unit < static_cast<int>(whole.units().size()); ++unit) {
      parts_.store.acquire(unit);
      share_->take_rows(whole, unit);
      parts_.store.release(unit);
    }
  }

  TrainerParts parts_;
  const text::Tokenizer& tokenizer_;
  int num_generations_;
  std::unique_ptr<engine::RankLayout> layout_;  // with tensor parallelism
  std::unique_ptr<RolloutModel> share_;         // of the weights, with tensor parallelism
  std::unique_ptr<RolloutEngine> engine_;
  WeightsStamp weights_;
};

class DedicatedRollout : public Rollout {
 public:
  DedicatedRollout(const TrainerParts& parts, const text::Tokenizer& tokenizer, GeneratorLink& link, int num_generations)
      : tokenizer_(tokenizer),
        link_(link),
        num_generations_(num_generations),
        transfer_(parts.ctx, link.all(), link.num_trainers(), &parts.store) {}

  std::vector<RolloutCompletion> generate(const RolloutRequest& request, const RolloutObserver& observer) override {
    GeneratorOrder order{GeneratorOrder::Kind::kGenerate, request.is_evaluation, request.step, request.weights_version, {}};
    order.draws.assign(request.draws.begin(), request.draws.end());
    link_.send(order);
    if (request.weights_version != weights_.version) weights_ = transfer_.run(request.weights_version);

    Collected collected(request, tokenizer_, num_generations_, observer);
    std::vector<bool> has_ended(static_cast<std::size_t>(link_.num_streams()), false);
    stats_ = {};
    while (std::ranges::find(has_ended, false) != has_ended.end()) {
      bool something_came = false;
      for (int stream = 0; stream < link_.num_streams(); ++stream) {
        if (has_ended[static_cast<std::size_t>(stream)]) continue;
        const auto message = link_.poll(stream);
        if (!message) continue;
        something_came = true;
        has_ended[static_cast<std::size_t>(stream)] = message->items.empty();
        collected.add(unpack_items(message->items));
        stats_.idle_slot_share += message->stats.idle_slot_share / link_.num_streams();
        stats_.preemptions += message->stats.preemptions;
        // A signal that came to a generator counts like one that came to a trainer.
        if (message->wants_stop) std::raise(SIGUSR1);
        if (message->wants_save) std::raise(SIGUSR2);
      }
      collected.show_groups();
      if (something_came || (observer.on_idle && observer.on_idle(collected.completions, collected.has_arrived))) continue;
      const comm::Waiting waiting;
      usleep(200);
    }
    R1_ASSERT(collected.is_complete(), "completions are missing");
    return std::move(collected.completions);
  }

  RolloutStats stats() const override { return stats_; }
  WeightsStamp weights() const override { return weights_; }

 private:
  const text::Tokenizer& tokenizer_;
  GeneratorLink& link_;
  int num_generations_;
  WeightTransfer transfer_;
  WeightsStamp weights_;
  RolloutStats stats_;
};

}  // namespace

std::unique_ptr<Rollout> make_colocated_rollout(const TrainerParts& parts, const text::Tokenizer& tokenizer, std::int64_t longest_prompt,
                                                RolloutOptions options) {
  return std::make_unique<ColocatedRollout>(parts, tokenizer, longest_prompt, options);
}

std::unique_ptr<Rollout> make_dedicated_rollout(const TrainerParts& parts, const text::Tokenizer& tokenizer, GeneratorLink& link,
                                                int num_generations) {
  return std::make_unique<DedicatedRollout>(parts, tokenizer, link, num_generations);
}

void score_completions(const rewards::WeightedRewards& rewards, const GrpoPrompts& prompts, int group_size, ThreadPool& threads,
                       std::span<RolloutCompletion> completions) {
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
