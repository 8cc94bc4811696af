#include "train/grpo.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/log.h"
#include "ops/copy.h"
#include "train/micro_batch.h"

namespace r1::train {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Prompts of an evaluation are numbered far above those of training: their draws are the same at every evaluation.
constexpr std::int64_t kEvalPromptNumbers = std::int64_t{1} << 62;
/// Rounds in which dynamic sampling may draw more prompts before it takes what there is.
constexpr int kMaxDynamicRounds = 8;

GrpoLossOptions loss_options(const config::GrpoConfig& config) {
  GrpoLossOptions options;
  options.loss_type = config.loss_type;
  options.level = config.importance_sampling_level;
  options.epsilon_low = config.epsilon;
  options.epsilon_high = config.epsilon_high.value_or(config.epsilon);
  options.delta = config.delta;
  options.beta = config.beta;
  options.max_completion_length = config.max_completion_length;
  return options;
}

}  // namespace

RolloutOptions rollout_options(const config::GrpoConfig& config, const text::Tokenizer& tokenizer, int ranks_sharing_memory) {
  RolloutOptions options;
  options.sampling.settings.temperature = static_cast<float>(config.temperature);
  options.sampling.settings.top_p = static_cast<float>(config.top_p);
  options.sampling.settings.top_k = config.top_k.value_or(0);
  options.sampling.settings.min_p = static_cast<float>(config.min_p.value_or(0));
  options.sampling.settings.repetition_penalty = static_cast<float>(config.repetition_penalty);
  options.sampling.max_new_tokens = config.max_completion_length;
  options.sampling.stop_token_ids = tokenizer.end_of_turn_ids();
  options.num_generations = config.num_generations;
  options.seed = static_cast<std::uint64_t>(config.seed);
  options.kv_cache_bytes = config.kv_cache_memory ? config.kv_cache_memory->bytes : 0;
  options.enforce_eager = config.enforce_eager;
  options.ranks_sharing_memory = ranks_sharing_memory;
  options.tensor_parallel_size = config.rollout_tensor_parallel_size;
  // No more than a model copy's part of a step: slots beyond it would never be filled.
  const std::int64_t completions = config.groups_per_step() * config.num_generations;
  const std::int64_t num_engines =
      (config.num_generators > 0 ? config.num_generators : config.num_trainers) / config.rollout_tensor_parallel_size;
  options.max_num_sequences =
      static_cast<int>(std::min<std::int64_t>(options.max_num_sequences, (completions + num_engines - 1) / num_engines));
  return options;
}

namespace {

std::int64_t longest_prompt(const GrpoParts& parts) {
  return std::max(parts.prompts.longest(), parts.eval_prompts != nullptr ? parts.eval_prompts->longest() : 0);
}

std::vector<double> widened(std::span<const float> values) { return {values.begin(), values.end()}; }

/// Mean and sample deviation.
struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread_of(std::span<const double> values) {
  Spread spread;
  if (values.empty()) return spread;
  for (const double value : values) spread.mean += value;
  spread.mean /= static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - spread.mean) * (value - spread.mean);
  if (values.size() > 1) spread.deviation = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return spread;
}

}  // namespace

std::string about_spoilt_rollout(const GrpoPrompts& prompts, std::span<const PromptDraw> draws, std::int64_t step, std::string_view error) {
  const auto where = [&](const PromptDraw& draw) {
    return prompts.dataset->where(prompts.prompts[static_cast<std::size_t>(draw.prompt)].row);
  };
  return fmt::format("rollout of step {}, prompts {} to {}: {}. The last updates spoilt the weights: lower learning_rate", step,
                     where(draws.front()), where(draws.back()), error);
}

GrpoObjective::GrpoObjective(GrpoParts parts, const config::GrpoConfig& config, int ranks_sharing_memory)
    : parts_(parts),
      config_(config),
      loss_(loss_options(config)),
      log_prob_temperature_(config.scale_log_probs_by_temperature ? static_cast<float>(config.temperature) : 1.0F),
      rollout_(parts.link != nullptr ? make_dedicated_rollout(parts.trainer, parts.tokenizer, *parts.link, config.num_generations)
                                     : make_colocated_rollout(parts.trainer, parts.tokenizer, longest_prompt(parts),
                                                              rollout_options(config, parts.tokenizer, ranks_sharing_memory))),
      sampler_(parts.prompts.size(), static_cast<std::uint64_t>(config.data_seed.value_or(config.seed)), config.shuffle_dataset),
      groups_per_step_(config.groups_per_step()) {
  R1_ASSERT((parts_.reference != nullptr) == (config.beta > 0), "a reference model is there exactly when beta is not 0");
}

std::int64_t GrpoObjective::steps_per_epoch() const {
  const std::int64_t rollouts = (parts_.prompts.size() + groups_per_step_ - 1) / groups_per_step_;
  return rollouts * config_.num_iterations;
}

double GrpoObjective::epoch(std::int64_t steps) const {
  const double rollouts = static_cast<double>(steps) / config_.num_iterations;
  return rollouts * static_cast<double>(groups_per_step_) / static_cast<double>(parts_.prompts.size());
}

std::vector<RolloutCompletion> GrpoObjective::sample_scored(const GrpoPrompts& prompts, std::span<const PromptDraw> draws) {
  const bool is_evaluation = &prompts != &parts_.prompts;
  const auto begin = Clock::now();
  const double others_before = timings_.reward + timings_.log_prob;
  RolloutObserver observer;
  observer.on_groups = [&](std::span<RolloutCompletion> groups) {
    const auto scoring = Clock::now();
    score_completions(parts_.rewards, prompts, config_.num_generations, parts_.trainer.ctx.threads(), groups);
    timings_.reward += seconds_since(scoring);
  };
  const bool looks_ahead = parts_.link != nullptr && parts_.reference != nullptr && !is_evaluation;
  if (looks_ahead) {
    observer.on_idle = [&](std::vector<RolloutCompletion>& completions, const std::vector<bool>& has_arrived) {
      return compute_reference_ahead(completions, has_arrived);
    };
  }
  std::vector<RolloutCompletion> completions;
  try {
    completions = rollout_->generate({prompts, is_evaluation, draws, num_updates_, step_ + 1}, observer);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kNumeric || parts_.link != nullptr) throw;
    fail(ErrorKind::kNumeric, "{}", about_spoilt_rollout(prompts, draws, step_ + 1, error.what()));
  }
  const double elapsed = seconds_since(begin), others = timings_.reward + timings_.log_prob - others_before;
  timings_.rollout += elapsed - others;
  timings_.generating += parts_.link != nullptr ? elapsed : elapsed - others;
  timings_.ahead += parts_.link != nullptr ? others : 0;
  timings_.idle_slots += rollout_->stats().idle_slot_share;
  ++timings_.rollouts;
  for (const RolloutCompletion& completion : completions) timings_.rollout_tokens += static_cast<std::int64_t>(completion.ids.size());
  if (looks_ahead) share_reference(completions);
  if (!is_evaluation) weights_ = rollout_->weights();
  return completions;
}

std::vector<RolloutCompletion> GrpoObjective::draw_groups(std::int64_t num_groups) {
  std::vector<PromptDraw> draws;
  for (std::int64_t i = 0; i < num_groups; ++i, ++next_prompt_number_) {
    draws.push_back(
        {sampler_.item(next_prompt_number_ / sampler_.num_items(), next_prompt_number_ % sampler_.num_items()), next_prompt_number_});
  }
  return sample_scored(parts_.prompts, draws);
}

void GrpoObjective::collect() {
  const auto group = static_cast<std::size_t>(config_.num_generations);
  const auto wanted = static_cast<std::size_t>(groups_per_step_) * group;
  dropped_groups_ = 0;
  completions_ = draw_groups(groups_per_step_);
  for (int round = 0; config_.dynamic_sampling && round < kMaxDynamicRounds; ++round) {
    std::vector<std::optional<double>> rewards;
    for (const RolloutCompletion& completion : completions_) rewards.push_back(completion.reward);
    const Advantages found = compute_advantages(rewards, config_.num_generations, config::ScaleRewards::kNone);
    if (found.num_zero_std_groups == 0) break;
    std::vector<RolloutCompletion> kept;
    for (std::size_t g = 0; g < completions_.size() / group; ++g) {
      const auto begin = completions_.begin() + static_cast<std::ptrdiff_t>(g * group);
      const bool differs = std::any_of(begin, begin + static_cast<std::ptrdiff_t>(group), [&](const RolloutCompletion& c) {
        return found.values[static_cast<std::size_t>(&c - completions_.data())] != 0;
      });
      if (differs) std::move(begin, begin + static_cast<std::ptrdiff_t>(group), std::back_inserter(kept));
    }
    dropped_groups_ += static_cast<std::int64_t>((completions_.size() - kept.size()) / group);
    std::vector<RolloutCompletion> more = draw_groups(static_cast<std::int64_t>((wanted - kept.size()) / group));
    std::ranges::move(more, std::back_inserter(kept));
    completions_ = std::move(kept);
  }
  std::vector<std::optional<double>> rewards;
  for (const RolloutCompletion& completion : completions_) rewards.push_back(completion.reward);
  advantages_ = compute_advantages(rewards, config_.num_generations, config_.scale_rewards);
  for (std::size_t i = 0; i < completions_.size(); ++i) completions_[i].advantage = advantages_.values[i];
}

void GrpoObjective::cut_into_micro_batches() {
  normalizer_ = {static_cast<std::int64_t>(completions_.size()), 0};
  std::vector<std::int64_t> order;
  for (std::size_t i = 0; i < completions_.size(); ++i) {
    const RolloutCompletion& completion = completions_[i];
    const bool is_masked = config_.mask_truncated_completions && completion.is_truncated;
    if (!is_masked) normalizer_.num_tokens += static_cast<std::int64_t>(completion.ids.size());
    const bool moves_loss = !is_masked && (completion.advantage != 0 || loss_.beta > 0);
    if (moves_loss) order.push_back(static_cast<std::int64_t>(i));
  }
  if (order.empty()) order.push_back(0);  // a step has a micro-batch; its gradient is zero
  const auto length = [&](std::int64_t i) {
    const RolloutCompletion& completion = completions_[static_cast<std::size_t>(i)];
    return completion.ids.size() + parts_.prompts.prompts[static_cast<std::size_t>(completion.prompt)].ids->size();
  };
  std::ranges::stable_sort(order, [&](std::int64_t a, std::int64_t b) { return length(a) > length(b); });
  micro_batches_.clear();
  const auto size = static_cast<std::size_t>(config_.per_device_train_batch_size);
  for (std::size_t begin = 0; begin < order.size(); begin += size) {
    const std::size_t end = std::min(begin + size, order.size());
    micro_batches_.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(begin), order.begin() + static_cast<std::ptrdiff_t>(end));
  }
  old_log_probs_.assign(completions_.size(), {});
}

std::int64_t GrpoObjective::prepare(std::int64_t step) {
  step_ = num_updates_ = step;
  iteration_ = step % config_.num_iterations;
  if (mixes_reference() && step > 0 && step % config_.ref_model_sync_steps == 0) mix_reference();
  if (iteration_ == 0) {
    collect();
    cut_into_micro_batches();
  }
  sums_.clear();
  unread_.clear();
  work_ = {};
  for (const std::vector<std::int64_t>& micro_batch : micro_batches_) {
    for (const std::int64_t i : micro_batch) {
      const RolloutCompletion& completion = completions_[static_cast<std::size_t>(i)];
      const auto length = static_cast<std::int64_t>(parts_.prompts.prompts[static_cast<std::size_t>(completion.prompt)].ids->size() +
                                                    completion.ids.size() - 1);
      work_.num_tokens += length;
      ++work_.num_rows;
      work_.flops += static_cast<double>(length) * parts_.trainer.model.config().train_flops_per_token(static_cast<double>(length));
    }
  }
  return static_cast<std::int64_t>(micro_batches_.size());
}

void GrpoObjective::forward(nn::Pass& pass, std::int64_t micro_batch) {
  const ExecContext& ctx = parts_.trainer.ctx;
  models::CausalLM& model = parts_.trainer.model;
  std::vector<const RolloutCompletion*> members;
  for (const std::int64_t i : micro_batches_[static_cast<std::size_t>(micro_batch)])
    members.push_back(&completions_[static_cast<std::size_t>(i)]);
  const PackedCompletions packed_completions = pack(members);
  const MicroBatch& packed = packed_completions.tokens;
  const std::vector<std::size_t>& first_label = packed_completions.first_label;
  const DeviceBatch batch = to_device(ctx, packed, model.config().vocab_size);
  std::vector<double> reference;
  if (parts_.reference != nullptr) {
    if (std::ranges::any_of(members, [](const RolloutCompletion* member) { return member->reference_log_probs.empty(); })) {
      reference = widened(reference_log_probs(packed, batch));
    } else {
      reference.assign(static_cast<std::size_t>(packed.num_tokens()), 0);
      for (std::size_t row = 0; row < members.size(); ++row)
        std::ranges::copy(members[row]->reference_log_probs, reference.begin() + static_cast<std::ptrdiff_t>(first_label[row]));
    }
  }

  const nn::SelectedLogProbs selected = model.log_probs(pass, model.decode(pass, batch.tokens), batch.labels, log_prob_temperature_);
  unread_.push_back({micro_batch, first_label, selected.log_probs.value, selected.entropy});
  // On-policy and without a KL term the gradient is the same for all log-probabilities: the host needs not wait for these before the
  // backward pass. Other steps wait once a micro-batch.
  std::vector<double> current(static_cast<std::size_t>(packed.num_tokens()), 0);
  if (!is_on_policy() || loss_.beta > 0) current = widened(ops::to_host(ctx, selected.log_probs.value).host_span<float>());
  Tensor gradient = Tensor::host({packed.num_tokens()}, DType::kF32);
  const auto gradients = gradient.host_span<float>();
  std::ranges::fill(gradients, 0.0F);

  Sums sums;
  std::size_t row = 0;
  for (const std::int64_t i : micro_batches_[static_cast<std::size_t>(micro_batch)]) {
    const RolloutCompletion& completion = completions_[static_cast<std::size_t>(i)];
    const std::size_t begin = first_label[row++], count = completion.ids.size();
    CompletionLogProbs inputs;
    inputs.current = std::span(current).subspan(begin, count);
    if (!is_on_policy()) inputs.old = old_log_probs_[static_cast<std::size_t>(i)];
    if (!reference.empty()) inputs.reference = std::span(reference).subspan(begin, count);
    inputs.advantage = completion.advantage;
    inputs.is_masked = config_.mask_truncated_completions && completion.is_truncated;
    std::vector<double> by_log_prob(count);
    const GrpoSums part = grpo_loss(loss_, normalizer_, inputs, by_log_prob);
    sums.loss += part.loss;
    sums.kl += part.kl;
    sums.clipped_low += part.clipped_low;
    sums.clipped_high += part.clipped_high;
    sums.num_tokens += part.num_tokens;
    for (std::size_t t = 0; t < count; ++t) gradients[begin + t] = static_cast<float>(by_log_prob[t]);
  }
  sums_.push_back(sums);
  pass.tape->set_gradient(selected.log_probs.slot, ops::to_device(ctx, gradient));
}

void GrpoObjective::read_log_probs() {
  const ExecContext& ctx = parts_.trainer.ctx;
  for (std::size_t k = 0; k < unread_.size(); ++k) {
    const MicroBatchResults& results = unread_[k];
    const Tensor log_probs = ops::to_host(ctx, results.log_probs), entropies = ops::to_host(ctx, results.entropies);
    Sums& sums = sums_[k];
    std::size_t row = 0;
    for (const std::int64_t i : micro_batches_[static_cast<std::size_t>(results.micro_batch)]) {
      const RolloutCompletion& completion = completions_[static_cast<std::size_t>(i)];
      const auto current = log_probs.host_span<float>().subspan(results.first_label[row], completion.ids.size()),
                 entropy = entropies.host_span<float>().subspan(results.first_label[row], completion.ids.size());
      ++row;
      const bool is_masked = config_.mask_truncated_completions && completion.is_truncated;
      for (std::size_t t = 0; t < current.size(); ++t) {
        if (!is_masked) sums.entropy += static_cast<double>(entropy[t]);
        if (!is_on_policy()) continue;
        sums.max_log_prob_diff =
            std::max(sums.max_log_prob_diff, std::fabs(static_cast<double>(current[t]) - static_cast<double>(completion.log_probs[t])));
      }
      if (is_on_policy() && config_.num_iterations > 1) old_log_probs_[static_cast<std::size_t>(i)] = widened(current);
    }
  }
  unread_.clear();
}

void GrpoObjective::add_rollout_metrics(const std::vector<RolloutCompletion>& completions, const Advantages& advantages,
                                        const std::string& prefix, report::MetricRow& metrics) const {
  std::vector<double> rewards, lengths, terminated;
  for (const RolloutCompletion& completion : completions) {
    if (completion.reward) rewards.push_back(*completion.reward);
    lengths.push_back(static_cast<double>(completion.ids.size()));
    if (!completion.is_truncated) terminated.push_back(lengths.back());
  }
  metrics.set(prefix + "reward", spread_of(rewards).mean);
  metrics.set(prefix + "reward_std", spread_of(advantages.group_std).mean);
  for (std::size_t f = 0; f < parts_.rewards.functions().size(); ++f) {
    std::vector<double> values;
    std::int64_t num_unparsed = 0;
    for (const RolloutCompletion& completion : completions) {
      if (completion.rewards[f].value) values.push_back(*completion.rewards[f].value);
      num_unparsed += completion.rewards[f].status == rewards::RewardStatus::kGoldUnparsed ? 1 : 0;
    }
    const std::string name = prefix + "rewards/" + parts_.rewards.functions()[f]->name();
    const Spread spread = spread_of(values);
    metrics.set(name + "/mean", spread.mean);
    metrics.set(name + "/std", spread.deviation);
    if (values.size() < completions.size()) {
      metrics.set(name + "/null_ratio", 1.0 - static_cast<double>(values.size()) / static_cast<double>(completions.size()));
    }
    if (num_unparsed > 0) metrics.set(name + "/gold_unparsed", num_unparsed);
  }
  const auto count = static_cast<double>(completions.size());
  metrics.set(prefix + "completions/mean_length", spread_of(lengths).mean);
  metrics.set(prefix + "completions/min_length", *std::ranges::min_element(lengths));
  metrics.set(prefix + "completions/max_length", *std::ranges::max_element(lengths));
  metrics.set(prefix + "completions/mean_terminated_length", spread_of(terminated).mean);
  metrics.set(prefix + "completions/clipped_ratio", 1.0 - static_cast<double>(terminated.size()) / count);
  const double groups = count / config_.num_generations;
  metrics.set(prefix + "frac_reward_zero_std", static_cast<double>(advantages.num_zero_std_groups) / groups);
  if (advantages.num_unscored_groups > 0)
    metrics.set(prefix + "frac_reward_null_groups", static_cast<double>(advantages.num_unscored_groups) / groups);
}

double GrpoObjective::finish_step(report::MetricRow& metrics) {
  read_log_probs();
  std::vector<Sums> parts = sums_;
  if (num_ranks() > 1)
    parts = in_index_order(parts_.trainer.store.communicator().host_gather_values(std::span<const Sums>(sums_), "GRPO sums"));
  Sums sums;
  for (const Sums& part : parts) {
    sums.loss += part.loss;
    sums.kl += part.kl;
    sums.clipped_low += part.clipped_low;
    sums.clipped_high += part.clipped_high;
    sums.entropy += part.entropy;
    sums.max_log_prob_diff = std::max(sums.max_log_prob_diff, part.max_log_prob_diff);
    sums.num_tokens += part.num_tokens;
  }
  add_rollout_metrics(completions_, advantages_, "", metrics);
  const auto tokens = static_cast<double>(std::max<std::int64_t>(sums.num_tokens, 1));
  if (loss_.beta > 0) metrics.set("kl", sums.kl / tokens);
  metrics.set("entropy", sums.entropy / tokens);
  metrics.set("clip_ratio/low_mean", sums.clipped_low / tokens);
  metrics.set("clip_ratio/high_mean", sums.clipped_high / tokens);
  metrics.set("clip_ratio/region_mean", (sums.clipped_low + sums.clipped_high) / tokens);
  const bool is_comparable = log_prob_temperature_ == static_cast<float>(config_.temperature);
  if (is_on_policy() && is_comparable) metrics.set("rollout_logprob_max_abs_diff", sums.max_log_prob_diff);
  if (config_.dynamic_sampling) metrics.set("dynamic_sampling/dropped_groups", dropped_groups_);
  metrics.set("rollout/preemptions", rollout_->stats().preemptions);
  total_tokens_ += work_.num_tokens;
  num_updates_ = step_ + 1;  // what follows uses the updated weights
  metrics.set("num_tokens", total_tokens_);
  return sums.loss;
}

void GrpoObjective::mix_reference() {
  const auto alpha = static_cast<float>(config_.ref_model_mixup_alpha);
  checkpoint::InferenceModel& reference = *parts_.reference;
  nn::ParameterSet& policy = parts_.trainer.model.parameters();
  reference.model->parameters().for_each([&](nn::Parameter& parameter) {
    const Tensor of_policy = parts_.trainer.store.gather_value(*policy.find(parameter.name));
    const Tensor mixed = ops::to_host(parts_.trainer.ctx, parameter.value);
    const auto from = of_policy.host_span<float>();
    const auto to = mixed.host_span<float>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = alpha * from[i] + (1 - alpha) * to[i];
    reference.store->set_value(parameter, mixed);
  });
  for (RolloutCompletion& completion : completions_) completion.reference_log_probs.clear();  // of the reference before
}

std::optional<Objective::Evaluation> GrpoObjective::evaluate(nn::Pass&) {
  if (parts_.eval_prompts == nullptr) return std::nullopt;
  std::vector<PromptDraw> draws;
  for (std::int64_t i = 0; i < parts_.eval_prompts->size(); ++i) draws.push_back({i, kEvalPromptNumbers + i});
  const Timings before = timings_;
  const std::vector<RolloutCompletion> completions = sample_scored(*parts_.eval_prompts, draws);
  timings_ = before;  // an evaluation is no part of a step
  std::vector<std::optional<double>> rewards;
  for (const RolloutCompletion& completion : completions) rewards.push_back(completion.reward);
  Evaluation evaluation;
  add_rollout_metrics(completions, compute_advantages(rewards, config_.num_generations, config_.scale_rewards), "eval_",
                      evaluation.metrics);
  evaluation.num_rows = static_cast<std::int64_t>(completions.size());
  evaluation.num_batches = 1;
  if (rank() == 0) {
    log::info("step {}: eval_reward {:.4f} on {} prompts × {} samples", step_ + 1, *evaluation.metrics.number("eval_reward"),
              parts_.eval_prompts->size(), config_.num_generations);
  }
  return evaluation;
}

void GrpoObjective::add_timings(report::MetricRow& metrics, double seconds) {
  const double others = timings_.rollout + timings_.reward + timings_.log_prob;
  metrics.set("time/rollout_seconds", timings_.rollout);
  metrics.set("time/reward_seconds", timings_.reward);
  metrics.set("time/logprob_seconds", timings_.log_prob);
  metrics.set("time/train_seconds", std::max(0.0, seconds - others));
  if (parts_.link != nullptr) metrics.set("time/overlapped_seconds", timings_.ahead);
  if (timings_.generating > 0) {
    metrics.set("rollout/tokens_per_second", static_cast<double>(timings_.rollout_tokens) / timings_.generating);
    metrics.set("rollout/idle_slot_share", timings_.idle_slots / static_cast<double>(timings_.rollouts));
  }
  timings_ = {};
}

std::vector<std::int64_t> GrpoObjective::samples_of(std::int64_t micro_batch) const {
  std::vector<std::int64_t> samples;
  for (const std::int64_t i : micro_batches_[static_cast<std::size_t>(micro_batch)]) {
    const RolloutCompletion& completion = completions_[static_cast<std::size_t>(i)];
    samples.push_back(completion.prompt_number * config_.num_generations + completion.sample);
  }
  return samples;
}

std::string GrpoObjective::rows_of_step() const {
  constexpr std::size_t kListed = 8;
  std::string text;
  const auto group = static_cast<std::size_t>(config_.num_generations);
  for (std::size_t g = 0; g < std::min(kListed, completions_.size() / group); ++g) {
    const RolloutCompletion& completion = completions_[g * group];
    text += fmt::format("{} {} (prompt {})", g == 0 ? ". Its prompts:" : ",",
                        parts_.prompts.dataset->where(parts_.prompts.prompts[static_cast<std::size_t>(completion.prompt)].row),
                        completion.prompt_number);
  }
  if (completions_.size() / group > kListed) text += fmt::format(" and {} more", completions_.size() / group - kListed);
  return text;
}

}  // namespace r1::train
