#include "train/trainer.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/profile.h"
#include "base/signals.h"
#include "base/strings.h"
#include "checkpoint/retention.h"
#include "comm/activity.h"
#include "ops/peak.h"
#include "report/progress.h"
#include "report/trainer_state.h"
#include "train/micro_batch.h"
#include "train/run_checkpoints.h"

namespace r1::train {
namespace {

/// A sample that a micro-batch ran.
struct TrainedSample {
  std::int64_t micro_batch = 0, id = 0;
};

// All ranks' samples in the order of their micro-batches, on every rank. Collective.
std::vector<std::int64_t> in_training_order(const std::vector<TrainedSample>& own, comm::Communicator& communicator) {
  std::vector<TrainedSample> all;
  for (const auto& part : communicator.host_gather_values(std::span<const TrainedSample>(own), "trained samples"))
    all.insert(all.end(), part.begin(), part.end());
  std::ranges::stable_sort(all, {}, &TrainedSample::micro_batch);
  std::vector<std::int64_t> samples;
  for (const TrainedSample& sample : all) samples.push_back(sample.id);
  return samples;
}

std::int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace

double seconds_since_process_start() {
  // Field 22 of /proc/self/stat: start in clock ticks since boot; the name in field 2 may hold spaces.
  std::ifstream stat("/proc/self/stat"), uptime("/proc/uptime");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  double up = 0;
  uptime >> up;
  const std::vector<std::string> fields = split(std::string_view(text).substr(text.rfind(')') + 2), ' ');
  const auto ticks = fields.size() > 19 ? parse_double(fields[19]) : std::nullopt;
  return ticks ? up - *ticks / static_cast<double>(sysconf(_SC_CLK_TCK)) : 0;
}

Trainer::Trainer(TrainerParts parts, TrainerOptions options, const LrSchedule& schedule, Objective& objective, SaveModel save_model,
                 RunCheckpoints* checkpoints)
    : parts_(parts),
      options_(std::move(options)),
      schedule_(schedule),
      objective_(objective),
      save_model_(std::move(save_model)),
      checkpoints_(checkpoints) {
  parts_.runner.set_recompute(options_.recompute);
  const auto resumed_from_step = checkpoints_ != nullptr ? checkpoints_->resumed_from_step() : std::nullopt;
  if (is_first_rank()) {
    metrics_ = std::make_unique<report::MetricsSink>(report::MetricsOptions{options_.output_dir, options_.tensorboard, resumed_from_step});
    sample_log_ = std::make_unique<SampleLog>(options_.output_dir, resumed_from_step);
  }
  if (checkpoints_ != nullptr && checkpoints_->state() != nullptr) {
    load_state(checkpoints_->state()->trainer_json);
    objective_.load_state(checkpoints_->state()->objective_json);
    objective_.load_files(checkpoints_->resumed_from());
  }
}

Trainer::~Trainer() = default;

const std::vector<report::LoggedRow>& Trainer::history() const {
  static const std::vector<report::LoggedRow> kNone;
  return metrics_ ? metrics_->history() : kNone;
}

bool Trainer::is_first_rank() const { return parts_.store.communicator().rank() == 0; }

void Trainer::skip_step(std::int64_t step, const StepOutcome& outcome) {
  const std::string samples = fmt::format("samples of the step: {}", list_samples(outcome.samples));
  if (++nonfinite_steps_ > options_.max_nonfinite_steps) {
    fail(ErrorKind::kNumeric,
         "step {}: loss {} and gradient norm {} must be finite; nothing of this step was applied. Lower learning_rate (now {}) or "
         "max_grad_norm, look at the rows of this step, or allow some such steps in a row with --max_nonfinite_steps{}; {}",
         step + 1, outcome.loss, outcome.grad_norm, outcome.learning_rate, objective_.rows_of_step(), samples);
  }
  log::warning("step {}: loss {} and gradient norm {}: update skipped ({} of at most {} such steps in a row){}; {}", step + 1, outcome.loss,
               outcome.grad_norm, nonfinite_steps_, options_.max_nonfinite_steps, objective_.rows_of_step(), samples);
}

Trainer::StepOutcome Trainer::train_step(std::int64_t step) {
  const double start = now_seconds();
  StepOutcome outcome;
  const std::int64_t rank = parts_.store.communicator().rank(), num_ranks = parts_.store.communicator().world_size();
  const std::int64_t num_micro_batches = objective_.prepare(step);
  parts_.store.begin_step(num_micro_batches);
  std::vector<TrainedSample> samples;
  for (std::int64_t first = 0; first < num_micro_batches; first += num_ranks) {
    const std::int64_t micro_batch = first + rank;
    parts_.store.begin_micro_batch(micro_batch);
    nn::Tape tape(parts_.ctx);
    nn::Pass pass{parts_.ctx, parts_.runner, &tape};
    if (micro_batch < num_micro_batches) {
      objective_.forward(pass, micro_batch);
      for (const std::int64_t id : objective_.samples_of(micro_batch)) samples.push_back({micro_batch, id});
    } else {
      run_idle_forward(pass, parts_.model);
    }
    tape.backward();
  }
  outcome.loss = objective_.finish_step(outcome.metrics);
  outcome.grad_norm = parts_.store.gradient_norm();
  outcome.learning_rate = schedule_.learning_rate(step);
  outcome.samples = in_training_order(samples, parts_.store.communicator());
  const bool is_finite = std::isfinite(outcome.loss) && std::isfinite(outcome.grad_norm);
  if (!is_finite) {
    skip_step(step, outcome);
  } else {
    nonfinite_steps_ = 0;
    adamw_step(parts_.ctx, parts_.store, options_.adamw, outcome.learning_rate, clip_factor(outcome.grad_norm, options_.max_grad_norm),
               step);
  }
  if (sample_log_) sample_log_->append(step + 1, outcome.samples, /*is_skipped=*/!is_finite);
  outcome.seconds = now_seconds() - start;
  return outcome;
}

void Trainer::log_step(std::int64_t step, const StepOutcome& outcome) {
  if (!is_first_rank()) return;
  const double peak = ops::peak_flops(parts_.ctx, parts_.runner.activation_dtype()) * parts_.store.communicator().world_size();
  report::MetricRow row;
  row.set("loss", interval_losses_ > 0 ? interval_loss_ / static_cast<double>(interval_losses_) : outcome.loss);
  row.set("grad_norm", outcome.grad_norm);
  row.set("learning_rate", outcome.learning_rate);
  for (const auto& [name, value] : outcome.metrics.values()) std::visit([&, key = name](const auto& v) { row.set(key, v); }, value);
  row.set("tokens_per_second", static_cast<double>(interval_tokens_) / interval_seconds_);
  row.set("mfu", interval_flops_ / interval_seconds_ / peak);
  if (parts_.store.communicator().world_size() > 1) {
    const double waited = parts_.store.communicator().counters().total().wait_seconds;
    row.set("communication_seconds", (waited - logged_wait_seconds_) / static_cast<double>(interval_steps_));
    logged_wait_seconds_ = waited;
  }
  row.set("step_seconds", interval_seconds_ / static_cast<double>(interval_steps_));
  row.set("peak_memory_bytes", peak_memory_bytes());
  objective_.add_timings(row, interval_seconds_);
  metrics_->log(step, objective_.epoch(step), row);
  objective_.step_logged(step);
  interval_loss_ = interval_seconds_ = interval_flops_ = 0;
  interval_steps_ = interval_tokens_ = interval_losses_ = 0;
}

void Trainer::evaluate(std::int64_t step) {
  const comm::Phase phase(fmt::format("evaluation after step {}", step));
  const double start = now_seconds();
  nn::Pass pass{parts_.ctx, parts_.runner, nullptr};
  auto evaluation = objective_.evaluate(pass);
  if (!evaluation || !is_first_rank()) return;
  const double seconds = now_seconds() - start;
  evaluation->metrics.set("eval_runtime", seconds);
  evaluation->metrics.set("eval_samples_per_second", static_cast<double>(evaluation->num_rows) / seconds);
  evaluation->metrics.set("eval_steps_per_second", static_cast<double>(evaluation->num_batches) / seconds);
  metrics_->log(step, objective_.epoch(step), evaluation->metrics);
  if (const auto loss = evaluation->metrics.number("eval_loss"))
    log::info("step {}: eval_loss {:.4f} on {} rows", step, *loss, evaluation->num_rows);
  if (step == options_.max_steps && options_.eval_at_end) {
    report::MetricRow results = evaluation->metrics;
    results.set("epoch", objective_.epoch(step));
    results.set("eval_samples", evaluation->num_rows);
    report::write_results(options_.output_dir, "eval", results);
  }
}

void Trainer::save_checkpoint(std::int64_t step) {
  const std::string folder = fmt::format("{}/checkpoint-{}", options_.output_dir, step);
  const std::string temporary = fmt::format("{}.tmp.{}", folder, getpid());
  const comm::Phase phase(fmt::format("saving {}", folder), comm::Patience::kLong);
  if (is_first_rank()) make_directories(temporary);
  save_model_(temporary);
  if (!is_first_rank()) return;
  std::filesystem::remove_all(folder);
  std::filesystem::rename(temporary, folder);
  sync_directory(options_.output_dir);
  log::info("step {}: saved {}", step, folder);
  if (options_.save_total_limit) checkpoint::delete_oldest_checkpoints(options_.output_dir, *options_.save_total_limit);
}

std::string Trainer::save_state() const {
  return Json({{"interval_loss", interval_loss_},
               {"interval_seconds", interval_seconds_},
               {"interval_flops", interval_flops_},
               {"interval_steps", interval_steps_},
               {"interval_tokens", interval_tokens_},
               {"interval_losses", interval_losses_},
               {"nonfinite_steps", nonfinite_steps_},
               {"loss", totals_.loss},
               {"flops", totals_.flops},
               {"seconds", totals_.seconds + now_seconds() - run_start_},
               {"num_losses", totals_.num_losses},
               {"num_rows", totals_.num_rows},
               {"num_tokens", totals_.num_tokens},
               {"timed_seconds", totals_.timed_seconds},
               {"timed_flops", totals_.timed_flops},
               {"timed_tokens", totals_.timed_tokens}})
      .dump();
}

void Trainer::load_state(const std::string& json) {
  const Json state = Json::parse(json);
  interval_loss_ = state.at("interval_loss");
  interval_seconds_ = state.at("interval_seconds");
  interval_flops_ = state.at("interval_flops");
  interval_steps_ = state.at("interval_steps");
  interval_tokens_ = state.at("interval_tokens");
  interval_losses_ = state.at("interval_losses");
  nonfinite_steps_ = state.at("nonfinite_steps");
  totals_ = {state.at("loss"),       state.at("flops"),         state.at("seconds"),     state.at("num_losses"),  state.at("num_rows"),
             state.at("num_tokens"), state.at("timed_seconds"), state.at("timed_flops"), state.at("timed_tokens")};
}

void Trainer::after_step(std::int64_t step) {
  const bool is_due = options_.save_steps > 0 && step % options_.save_steps == 0;
  if (is_due && options_.save_only_model) save_checkpoint(step);
  if (checkpoints_ == nullptr) return;
  const RunCheckpoints::Action action = checkpoints_->after_step(step);
  // After the last step what is left is the model itself; it is written instead.
  const bool is_stopping = action == RunCheckpoints::Action::kStop && step < options_.max_steps;
  if (action == RunCheckpoints::Action::kSave || is_stopping || (is_due && !options_.save_only_model))
    checkpoints_->save(step, save_state(), objective_);
  if (!is_stopping) return;
  checkpoints_->finish();
  throw signals::Stopped();
}

TrainResult Trainer::run() {
  TrainResult result;
  report::Progress progress;
  run_start_ = now_seconds();
  const std::int64_t first_step = checkpoints_ != nullptr && checkpoints_->state() != nullptr ? checkpoints_->state()->step : 0;
  for (std::int64_t step = first_step; step < options_.max_steps; ++step) {
    const comm::Phase phase(fmt::format("step {}", step + 1));  // what follows its update, too
    const StepOutcome outcome = train_step(step);
    const StepWork work = objective_.step_work();
    const std::int64_t done = step + 1;
    if (step == first_step) {
      result.first_step_seconds = seconds_since_process_start();
    } else {  // the first step fills the allocator's cache
      totals_.timed_seconds += outcome.seconds;
      totals_.timed_tokens += work.num_tokens;
      totals_.timed_flops += work.flops;
    }
    totals_.num_rows += work.num_rows;
    totals_.num_tokens += work.num_tokens;
    totals_.flops += work.flops;
    if (std::isfinite(outcome.loss)) {  // a skipped step does not spoil the means
      totals_.loss += outcome.loss;
      interval_loss_ += outcome.loss;
      ++totals_.num_losses;
      ++interval_losses_;
    }
    interval_seconds_ += outcome.seconds;
    interval_flops_ += work.flops;
    interval_tokens_ += work.num_tokens;
    ++interval_steps_;
    if (options_.progress && is_first_rank()) {
      report::ProgressState state;
      state.done = done;
      state.total = options_.max_steps;
      state.loss = outcome.loss;
      state.reward = outcome.metrics.number("reward");
      state.tokens_per_second = static_cast<double>(work.num_tokens) / outcome.seconds;
      state.fraction_of_peak = work.flops / outcome.seconds /
                               (ops::peak_flops(parts_.ctx, parts_.runner.activation_dtype()) * parts_.store.communicator().world_size());
      progress.update(state);
    }
    const bool is_logged = options_.logging_steps > 0 && (done % options_.logging_steps == 0 || (done == 1 && options_.logging_first_step));
    if (is_logged || (done == options_.max_steps && options_.logging_steps > 0)) log_step(done, outcome);
    const bool is_last = done == options_.max_steps;
    if (options_.eval_steps > 0 && done % options_.eval_steps == 0 && !(is_last && options_.eval_at_end)) evaluate(done);
    after_step(done);
  }
  progress.finish();
  result.global_step = options_.max_steps;
  result.train_runtime = totals_.seconds + now_seconds() - run_start_;
  result.train_loss = totals_.loss / static_cast<double>(std::max<std::int64_t>(1, totals_.num_losses));
  result.num_rows = totals_.num_rows;
  result.num_tokens = totals_.num_tokens;
  result.flops = totals_.flops;
  if (totals_.timed_seconds > 0) {
    result.tokens_per_second = static_cast<double>(totals_.timed_tokens) / totals_.timed_seconds;
    result.mean_fraction_of_peak =
        totals_.timed_flops / totals_.timed_seconds /
        (ops::peak_flops(parts_.ctx, parts_.runner.activation_dtype()) * parts_.store.communicator().world_size());
  }
  const comm::CollectiveCounter traffic = parts_.store.communicator().counters().total();
  result.communication_seconds = traffic.wait_seconds;
  result.bytes_sent = traffic.bytes_sent;
  if (parts_.store.communicator().world_size() > 1) {
    log::info("communication: {} sent by rank 0 in {} calls, {} waited for other ranks ({:.0f} % of the time)",
              format_bytes(static_cast<double>(traffic.bytes_sent)), traffic.calls, format_seconds(traffic.wait_seconds),
              100 * traffic.wait_seconds / result.train_runtime);
  }
  if (checkpoints_ != nullptr) checkpoints_->finish();
  if (options_.eval_at_end) evaluate(options_.max_steps);
  const comm::Phase phase("saving the model", comm::Patience::kLong);
  save_model_(options_.output_dir);
  if (is_first_rank()) write_results(result);
  return result;
}

void Trainer::write_results(const TrainResult& result) {
  const double epoch = objective_.epoch(result.global_step);
  report::MetricRow row;
  row.set("epoch", epoch);
  row.set("total_flos", result.flops);
  row.set("train_loss", result.train_loss);
  row.set("train_runtime", result.train_runtime);
  row.set("train_samples", result.num_rows);
  row.set("train_samples_per_second", static_cast<double>(result.num_rows) / result.train_runtime);
  row.set("train_steps_per_second", static_cast<double>(result.global_step) / result.train_runtime);
  row.set("train_tokens_per_second", result.tokens_per_second);
  report::write_results(options_.output_dir, "train", row);
  report::TrainerState state;
  state.epoch = epoch;
  state.global_step = result.global_step;
  state.max_steps = options_.max_steps;
  state.num_train_epochs = options_.num_train_epochs;
  state.logging_steps = static_cast<double>(options_.logging_steps);
  state.save_steps = static_cast<double>(options_.save_steps);
  state.eval_steps = static_cast<double>(options_.eval_steps);
  state.train_batch_size = options_.per_device_train_batch_size;
  state.num_input_tokens_seen = result.num_tokens;
  state.total_flos = result.flops;
  report::write_trainer_state(options_.output_dir + "/trainer_state.json", state, metrics_->history());
}

}  // namespace r1::train
