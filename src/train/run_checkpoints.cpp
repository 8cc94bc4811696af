#include "train/run_checkpoints.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/strings.h"
#include "checkpoint/collective_error.h"
#include "checkpoint/hf_export.h"
#include "checkpoint/replica_check.h"
#include "checkpoint/resume.h"
#include "checkpoint/retention.h"
#include "config/loader.h"
#include "ops/copy.h"
#include "preflight/checks.h"

namespace r1::train {
namespace {

namespace fs = std::filesystem;

double unix_seconds() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

checkpoint::HostAccess host_access(const ExecContext& ctx) {
  return {[&ctx](const Tensor& device) { return ops::to_host(ctx, device); },
          [&ctx](const Tensor& host, Tensor& device) { ops::from_host(ctx, host, device); }};
}

// Slurm says it in the environment (22.05 and later) or on request.
std::optional<double> job_end_time() {
  if (const char* text = std::getenv("SLURM_JOB_END_TIME")) {
    if (const auto seconds = parse_double(text)) return seconds;
  }
  const char* job = std::getenv("SLURM_JOB_ID");
  if (job == nullptr || !parse_int(job)) return std::nullopt;
  const std::string command = fmt::format("date +%s -d \"$(squeue --noheader --format=%e --jobs={})\" 2>/dev/null", job);
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  char line[64] = "";
  const bool is_read = std::fgets(line, sizeof line, pipe) != nullptr;
  const int status = ::pclose(pipe);
  return is_read && status == 0 ? parse_double(trim(line)) : std::nullopt;
}

// completions/step-000010.jsonl of steps after `step` become *.lost-<time>.
void set_aside_completions(const std::string& output_dir, std::int64_t step) {
  constexpr std::string_view kPrefix = "step-", kSuffix = ".jsonl";
  std::error_code none_there;
  std::vector<fs::path> lost;
  for (const auto& entry : fs::directory_iterator(output_dir + "/completions", none_there)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const auto of_step = parse_int(name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size()));
    if (of_step && *of_step > step) lost.push_back(entry.path());
  }
  for (const fs::path& path : lost) fs::rename(path, fmt::format("{}.lost-{:.0f}", path.string(), unix_seconds()));
}

}  // namespace

bool continues_run(const config::TrainerConfig& config) {
  if (config.resume_from_checkpoint) return true;
  const char* restarts = std::getenv("SLURM_RESTART_COUNT");
  return restarts != nullptr && parse_int(restarts).value_or(0) > 0;
}

RunCheckpoints::RunCheckpoints(const config::CommonConfig& common, const config::TrainerConfig& config, const TrainerParts& parts,
                               checkpoint::RunIdentity identity, checkpoint::ExportOptions save_options)
    : common_(common),
      config_(config),
      communicator_(parts.store.communicator()),
      identity_(std::move(identity)),
      parts_(parts),
      save_options_(std::move(save_options)) {
  const bool continues = continues_run(config);
  std::optional<checkpoint::RankError> error;
  if (communicator_.rank() == 0) {
    error = checkpoint::attempt([&] {
      make_directories(config.output_dir);
      lock_ = std::make_unique<checkpoint::RunLock>(config.output_dir);
      if (!continues) preflight::prepare_output_dir(config);
      checkpoint::remove_unfinished_checkpoints(config.output_dir);
      if (config.save_before_seconds) {
        const auto end = job_end_time();
        if (!end) {
          fail(ErrorKind::kConfig, "{}: the end of the job is not known: expected SLURM_JOB_END_TIME or squeue to tell it; leave it out",
               common.place_of("save_before_seconds"));
        }
        stop_at_ = *end - *config.save_before_seconds;
      }
    });
  }
  checkpoint::agree(communicator_, error, "output folder");

  const checkpoint::HostAccess access = host_access(parts.ctx);
  std::optional<checkpoint::FoundCheckpoint> found;
  if (continues) {
    const std::string from = config.resume_from_checkpoint.value_or("latest");
    found = from == "latest" ? checkpoint::find_latest(config.output_dir, communicator_) : checkpoint::open_checkpoint(from, communicator_);
    if (!found) log::notice("{}: no checkpoint that can be resumed from; the run starts at step 0", config.output_dir);
  }
  if (found) {
    const std::string differs = checkpoint::differences(found->state.identity, identity_);
    if (!differs.empty() && !config.resume_unchecked) {
      fail(ErrorKind::kUsage, "{} belongs to another run: {}; restore these settings, or give --resume_unchecked to continue all the same",
           found->folder, differs);
    }
    if (!differs.empty()) log::warning("{}: continued although it differs: {}", found->folder, differs);
    if (found->state.identity.max_steps != identity_.max_steps) {
      log::notice("{}: the schedule had {} steps and has {} now", found->folder, found->state.identity.max_steps, identity_.max_steps);
    }
    checkpoint::load_state(*found, parts.model.parameters(), parts.store, access);
    log::info("resumed from {} (step {}, written by {} ranks)", found->folder, found->state.step, found->manifest.world_size);
    state_ = std::move(found->state);
    resumed_from_ = found->folder;
  }
  if (continues && communicator_.rank() == 0) set_aside_completions(config.output_dir, state_ ? state_->step : 0);
  if (communicator_.rank() == 0) benchmarks_ = std::make_unique<CheckpointBenchmarks>(config);

  checkpoint::CheckpointerOptions options;
  options.output_dir = config.output_dir;
  options.version = std::string(config::suite_version());
  if (config.save_total_limit) options.save_total_limit = *config.save_total_limit;
  options.async_save = config.async_save;
  options.layout = config.checkpoint_layout == config::CheckpointLayout::kPerNode ? checkpoint::CheckpointLayout::kPerNode
                                                                                  : checkpoint::CheckpointLayout::kFile;
  checkpointer_ = std::make_unique<checkpoint::Checkpointer>(std::move(options), parts.model.parameters(), parts.store, access);
}

RunCheckpoints::~RunCheckpoints() = default;

std::optional<std::int64_t> RunCheckpoints::resumed_from_step() const {
  if (!continues_run(config_)) return std::nullopt;
  return state_ ? state_->step : 0;
}

bool RunCheckpoints::must_stop_now() const { return signals::stop_requested() || (stop_at_ && unix_seconds() >= *stop_at_); }

void RunCheckpoints::check_replicas(std::int64_t step) {
  if (config_.check_replicas_steps == 0 || checked_step_ == step) return;
  const double begin = unix_seconds();
  const bool is_compared = checkpoint::check_replicas(parts_.model.parameters(), parts_.store, host_access(parts_.ctx), step);
  checked_step_ = step;
  if (!is_compared) return;
  ++num_replica_checks_;
  replica_check_seconds_ += unix_seconds() - begin;
}

RunCheckpoints::Action RunCheckpoints::after_step(std::int64_t step) {
  last_step_ = step;
  if (config_.check_replicas_steps > 0 && step % config_.check_replicas_steps == 0) check_replicas(step);
  if (lock_) lock_->keep_alive();
  if (benchmarks_) benchmarks_->poll();
  const bool saves = signals::take_save_request();
  Action action = must_stop_now() ? Action::kStop : saves ? Action::kSave : Action::kGoOn;
  for (const Action of_rank : communicator_.host_gather_value(action, "signals")) action = std::max(action, of_rank);
  return action;
}

void RunCheckpoints::save(std::int64_t step, std::string trainer_json, Objective& objective) {
  check_replicas(step);
  checkpoint::TrainingState state;
  state.step = step;
  state.identity = identity_;
  state.model = {parts_.model.config().json_text, save_options_};
  state.config = config::print_effective_configuration(common_);
  state.trainer_json = std::move(trainer_json);
  state.objective_json = objective.save_state();
  checkpointer_->save(state, [&](const std::string& folder) {
    if (config_.saves_hugging_face()) checkpoint::export_model(folder, parts_.model, parts_.store, save_options_);
    objective.save_files(folder);
  });
  if (!benchmarks_) return;
  benchmarks_->expect(step);
  benchmarks_->poll();
}

void RunCheckpoints::finish() {
  check_replicas(last_step_);
  if (num_replica_checks_ > 0) {
    log::info("replicas compared {} times, {:.3f} s each: the same bytes on all ranks", num_replica_checks_,
              replica_check_seconds_ / static_cast<double>(num_replica_checks_));
  }
  checkpointer_->wait();
  if (benchmarks_) benchmarks_->finish();
  if (config_.async_save && checkpointer_->write_seconds() > 0) {
    log::info("checkpoints: {} of writing, training stood still for {}", format_seconds(checkpointer_->write_seconds()),
              format_seconds(checkpointer_->stall_seconds()));
  }
}

}  // namespace r1::train
