#include "train/sft.h"

#include <algorithm>
#include <numeric>

#include "base/json.h"
#include "ops/copy.h"
#include "ops/reduce.h"

namespace r1::train {

double ordered_sum(const ExecContext& ctx, const Tensor& values) {
  Tensor sums = ctx.empty({(values.num_elements() + ops::kReduceBlock - 1) / ops::kReduceBlock}, DType::kF64);
  ops::sum_blocks(ctx, values, sums);
  double total = 0;
  const Tensor on_host = ops::to_host(ctx, sums);
  for (const double sum : on_host.host_span<double>()) total += sum;
  return total;
}

SftObjective::SftObjective(const ExecContext& ctx, models::CausalLM& model, SftOptions options,
                           std::shared_ptr<const TrainingRows> train_rows, std::shared_ptr<const TrainingRows> eval_rows)
    : ctx_(ctx),
      model_(model),
      options_(options),
      train_rows_(std::move(train_rows)),
      eval_rows_(std::move(eval_rows)),
      sampler_(train_rows_->num_rows(), options_.data_seed, /*shuffle=*/true) {
  const std::int64_t rows_per_step = options_.per_device_train_batch_size * options_.gradient_accumulation_steps * num_ranks();
  steps_per_epoch_ = std::max<std::int64_t>(1, (train_rows_->num_rows() + rows_per_step - 1) / rows_per_step);
}

std::string SftObjective::save_state() { return Json({{"num_tokens", total_tokens_}}).dump(); }

void SftObjective::load_state(const std::string& json) { total_tokens_ = Json::parse(json).at("num_tokens"); }

double SftObjective::epoch(std::int64_t steps) const { return static_cast<double>(steps) / static_cast<double>(steps_per_epoch_); }

std::vector<std::int64_t> SftObjective::draw_rows(std::int64_t step) const {
  const std::int64_t rows_per_step = options_.per_device_train_batch_size * options_.gradient_accumulation_steps * num_ranks();
  const std::int64_t begin = step % steps_per_epoch_ * rows_per_step;
  const std::int64_t end = std::min(begin + rows_per_step, train_rows_->num_rows());
  std::vector<std::int64_t> rows;
  for (std::int64_t position = begin; position < end; ++position) rows.push_back(sampler_.item(step / steps_per_epoch_, position));
  return rows;
}

MicroBatch SftObjective::gather(const TrainingRows& rows, std::span<const std::int64_t> indices) const {
  MicroBatch batch;
  for (const std::int64_t index : indices) rows.append_to(batch, index);
  return batch;
}

double SftObjective::flops_of(const MicroBatch& batch) const {
  double flops = 0;
  for (const std::int64_t length : batch.sequence_lengths) {
    flops += static_cast<double>(length) * model_.config().train_flops_per_token(static_cast<double>(length));
  }
  return flops;
}

template <typename T>
std::vector<T> SftObjective::gather_items(const std::vector<T>& own, std::string_view what) const {
  if (num_ranks() == 1) return own;
  return in_index_order(options_.communicator->host_gather_values(std::span<const T>(own), what));
}

std::int64_t SftObjective::prepare(std::int64_t step) {
  rows_ = draw_rows(step);
  micro_batches_.clear();
  losses_.clear();
  num_labelled_tokens_ = 0;
  work_ = {};
  const auto batch_size = static_cast<std::size_t>(options_.per_device_train_batch_size);
  const std::size_t num_micro_batches = (rows_.size() + batch_size - 1) / batch_size;
  std::vector<Counts> own;
  for (auto index = static_cast<std::size_t>(rank()); index < num_micro_batches; index += static_cast<std::size_t>(num_ranks())) {
    const std::size_t begin = index * batch_size;
    const MicroBatch& batch =
        micro_batches_.emplace_back(gather(*train_rows_, std::span(rows_).subspan(begin, std::min(batch_size, rows_.size() - begin))));
    own.push_back({batch.num_labelled_tokens(), batch.num_tokens(), batch.num_rows, flops_of(batch)});
  }
  for (const Counts& counts : gather_items(own, "micro-batch sizes")) {
    num_labelled_tokens_ += counts.num_labelled;
    work_.num_tokens += counts.num_tokens;
    work_.num_rows += counts.num_rows;
    work_.flops += counts.flops;
  }
  return static_cast<std::int64_t>(num_micro_batches);
}

std::vector<std::int64_t> SftObjective::samples_of(std::int64_t micro_batch) const {
  const auto begin = static_cast<std::size_t>(micro_batch * options_.per_device_train_batch_size);
  const auto count = std::min(static_cast<std::size_t>(options_.per_device_train_batch_size), rows_.size() - begin);
  const auto rows = std::span(rows_).subspan(begin, count);
  return {rows.begin(), rows.end()};
}

void SftObjective::forward(nn::Pass& pass, std::int64_t micro_batch) {
  const MicroBatch& own = micro_batches_.at(static_cast<std::size_t>(micro_batch / num_ranks()));
  const DeviceBatch batch = to_device(ctx_, own, model_.config().vocab_size);
  // The mean over the labelled tokens of the whole step, not a mean of means.
  const float scale = num_labelled_tokens_ > 0 ? static_cast<float>(1.0 / static_cast<double>(num_labelled_tokens_)) : 0.0F;
  losses_.push_back(model_.cross_entropy(pass, model_.decode(pass, batch.tokens), batch.labels, scale));
}

double SftObjective::finish_step(report::MetricRow& metrics) {
  std::vector<Sums> own;
  for (const nn::TokenLoss& part : losses_) own.push_back({ordered_sum(ctx_, part.token_loss), ordered_sum(ctx_, part.is_correct)});
  losses_.clear();
  double loss = 0, correct = 0;
  for (const Sums& part : gather_items(own, "losses")) {
    loss += part.loss;
    correct += part.correct;
  }
  const double count = static_cast<double>(std::max<std::int64_t>(1, num_labelled_tokens_));
  metrics.set("mean_token_accuracy", correct / count);
  total_tokens_ += work_.num_tokens;
  metrics.set("num_tokens", total_tokens_);  // seen so far, as the reference trainer counts them
  return loss / count;
}

std::optional<Objective::Evaluation> SftObjective::evaluate(nn::Pass& pass) {
  if (eval_rows_ == nullptr || eval_rows_->num_rows() == 0) return std::nullopt;
  Evaluation evaluation;
  const std::int64_t num_rows = eval_rows_->num_rows(), batch_size = options_.per_device_eval_batch_size;
  evaluation.num_batches = (num_rows + batch_size - 1) / batch_size;
  const std::int64_t num_rounds = (evaluation.num_batches + num_ranks() - 1) / num_ranks();
  std::vector<Sums> own;
  std::vector<std::int64_t> own_counts;
  for (std::int64_t round = 0; round < num_rounds; ++round) {
    const std::int64_t index = round * num_ranks() + rank();
    if (index >= evaluation.num_batches) {
      run_idle_forward(pass, model_);
      continue;
    }
    std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(batch_size, num_rows - index * batch_size)));
    std::iota(indices.begin(), indices.end(), index * batch_size);
    const MicroBatch batch = gather(*eval_rows_, indices);
    const DeviceBatch on_device = to_device(ctx_, batch, model_.config().vocab_size);
    const nn::TokenLoss part = model_.cross_entropy(pass, model_.decode(pass, on_device.tokens), on_device.labels, 1.0F);
    own.push_back({ordered_sum(ctx_, part.token_loss), ordered_sum(ctx_, part.is_correct)});
    own_counts.push_back(batch.num_labelled_tokens());
  }
  double loss = 0, correct = 0;
  std::int64_t count = 0;
  for (const Sums& part : gather_items(own, "evaluation losses")) {
    loss += part.loss;
    correct += part.correct;
  }
  for (const std::int64_t labelled : gather_items(own_counts, "evaluation counts")) count += labelled;
  evaluation.num_rows = eval_rows_->num_rows();
  const double tokens = static_cast<double>(std::max<std::int64_t>(1, count));
  evaluation.metrics.set("eval_loss", loss / tokens);
  evaluation.metrics.set("eval_mean_token_accuracy", correct / tokens);
  return evaluation;
}

}  // namespace r1::train
