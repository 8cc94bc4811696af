#include "train/training_setup.h"

#include <cmath>

#include "base/log.h"
#include "base/strings.h"
#include "preflight/checks.h"

namespace r1::train {
namespace {

DType dtype_of(config::DTypeChoice choice) {
  switch (choice) {
    case config::DTypeChoice::kBFloat16:
      return DType::kBF16;
    case config::DTypeChoice::kFloat16:
      return DType::kF16;
    default:
      return DType::kF32;
  }
}

std::int64_t interval(config::IntervalStrategy strategy, double steps, std::int64_t max_steps, std::int64_t steps_per_epoch) {
  if (strategy == config::IntervalStrategy::kNo) return 0;
  return strategy == config::IntervalStrategy::kEpoch ? steps_per_epoch : config::step_interval(steps, max_steps);
}

}  // namespace

bool computes_in_bf16(const config::TrainerConfig& config, Device device) {
  return config.bf16 && device.kind == DeviceKind::kCuda;  // mixed_precision: bf16 has become bf16: true (config/loader)
}

void note_bf16(const config::TrainerConfig& config, Device device) {
  if (!config.bf16 || computes_in_bf16(config, device)) return;
  log::notice("bf16: true: the CPU computes in fp32; weights and optimizer state are fp32 anyway");
}

DType save_dtype_of(const config::ModelArgs& args, const models::ModelConfig& model) {
  for (const auto& choice : {args.save_dtype, args.torch_dtype}) {
    if (choice && *choice != config::DTypeChoice::kAuto) return dtype_of(*choice);
  }
  return model.torch_dtype;
}

std::int64_t total_steps(const config::TrainerConfig& config, std::int64_t steps_per_epoch) {
  if (config.max_steps > 0) return config.max_steps;
  return static_cast<std::int64_t>(std::ceil(config.num_train_epochs * static_cast<double>(steps_per_epoch)));
}

nn::RecomputeGranularity recompute_granularity(const config::TrainerConfig& config) {
  if (!config.gradient_checkpointing) return nn::RecomputeGranularity::kNone;
  return config.recompute_granularity == config::RecomputeGranularity::kFull ? nn::RecomputeGranularity::kFull
                                                                             : nn::RecomputeGranularity::kSelective;
}

TrainerOptions trainer_options(const config::TrainerConfig& config, std::int64_t max_steps, std::int64_t steps_per_epoch) {
  TrainerOptions options;
  options.output_dir = config.output_dir;
  options.max_steps = max_steps;
  options.num_train_epochs = static_cast<double>(max_steps) / static_cast<double>(steps_per_epoch);
  options.max_grad_norm = config.max_grad_norm;
  options.adamw = {config.adam_beta1, config.adam_beta2, config.adam_epsilon, config.weight_decay};
  options.recompute = recompute_granularity(config);
  options.logging_steps = interval(config.logging_strategy, config.logging_steps, max_steps, steps_per_epoch);
  options.logging_first_step = config.logging_first_step;
  options.eval_steps = interval(config.eval_strategy, config.eval_steps.value_or(config.logging_steps), max_steps, steps_per_epoch);
  options.eval_at_end = config.evaluates();
  options.save_steps = interval(config.save_strategy, config.save_steps, max_steps, steps_per_epoch);
  if (config.save_total_limit) options.save_total_limit = *config.save_total_limit;
  options.per_device_train_batch_size = config.per_device_train_batch_size;
  options.max_nonfinite_steps = config.max_nonfinite_steps;
  options.save_only_model = config.save_only_model;
  return options;
}

LrSchedule make_schedule(const config::TrainerConfig& config, std::int64_t max_steps) {
  LrScheduleOptions kwargs;
  kwargs.min_lr = config.lr_scheduler_kwargs.number("min_lr");
  kwargs.min_lr_rate = config.lr_scheduler_kwargs.number("min_lr_rate");
  kwargs.num_cycles = config.lr_scheduler_kwargs.number("num_cycles").value_or(kwargs.num_cycles);
  const auto name = config::enum_names(config.lr_scheduler_type)[static_cast<std::size_t>(config.lr_scheduler_type)];
  return LrSchedule(name, config.learning_rate, config::warmup_steps_of(config, max_steps), max_steps, kwargs);
}

OutputBytes output_bytes(const config::TrainerConfig& config, const TrainerOptions& options, std::uint64_t num_parameters,
                         DType save_dtype) {
  constexpr std::uint64_t kStateBytes = 12;  // fp32 value and both moments
  OutputBytes output;
  output.model = num_parameters * size_of(save_dtype);
  if (options.save_steps == 0) return output;
  // With a limit the newest is written before the oldest goes; without one at least the first two must fit.
  output.checkpoint = (options.save_only_model ? 0 : num_parameters * kStateBytes) + (config.saves_hugging_face() ? output.model : 0);
  const auto num_saves = static_cast<std::uint64_t>(options.max_steps / options.save_steps);
  const auto kept = static_cast<std::uint64_t>(options.save_total_limit.value_or(1)) + 1;
  output.num_checkpoints = std::min(num_saves, kept);
  return output;
}

void check_room_for_output(const config::TrainerConfig& config, const TrainerOptions& options, std::uint64_t num_parameters,
                           DType save_dtype) {
  const OutputBytes output = output_bytes(config, options, num_parameters, save_dtype);
  preflight::check_disk_space(config.output_dir, output.model, "the trained model");
  if (output.num_checkpoints == 0) return;
  preflight::check_disk_space(config.output_dir, output.model + output.num_checkpoints * output.checkpoint,
                              fmt::format("the trained model with {} checkpoints of {}", output.num_checkpoints,
                                          format_bytes(static_cast<double>(output.checkpoint))));
}

bool reduces_deterministically(const config::TrainerConfig& config, Device device) {
  return config.deterministic_reduction.value_or(device.kind == DeviceKind::kCpu);
}

parallel::StoreOptions store_options(const config::TrainerConfig& config, Device device) {
  parallel::StoreOptions options;
  switch (config.accelerate.sharding_strategy) {
    case config::ShardingStrategy::kReplicated:
      options.sharding = parallel::Sharding::kReplicated;
      break;
    case config::ShardingStrategy::kZero2:
      options.sharding = parallel::Sharding::kZero2;
      break;
    case config::ShardingStrategy::kZero3:
      options.sharding = parallel::Sharding::kZero3;
      break;
  }
  options.deterministic_reduction = reduces_deterministically(config, device);
  if (computes_in_bf16(config, device)) options.working_dtype = DType::kBF16;
  return options;
}

parallel::WeightStorage reference_storage(const config::GrpoConfig& config, Device device) {
  if (config.sync_ref_model) return parallel::WeightStorage::kF32;
  if (device.kind == DeviceKind::kCpu) return parallel::WeightStorage::kStored;
  return computes_in_bf16(config, device) ? parallel::WeightStorage::kBF16 : parallel::WeightStorage::kF32;
}

void note_reduction(const config::TrainerConfig& config, Device device, int world_size) {
  if (world_size == 1 || reduces_deterministically(config, device)) return;
  log::notice(
      "deterministic_reduction false{}: gradients are added in an order that depends on the number of ranks; the same bytes are not "
      "promised for another number",
      config.deterministic_reduction ? "" : " (the default on CUDA)");
}

}  // namespace r1::train
