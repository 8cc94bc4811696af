#include "config/accelerate_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/strings.h"
#include "config/yaml_reader.h"

namespace r1::config {

std::span<const std::string_view> enum_names(ShardingStrategy) {
  static constexpr std::string_view kNames[] = {"ddp", "zero2", "zero3"};
  return kNames;
}

namespace {

constexpr std::string_view kFsdpHint =
    "use accelerate_configs/zero3.yaml, which shards parameters, gradients and optimizer state as FULL_SHARD does";

enum class DistributedType { kNo, kMultiGpu, kMultiCpu, kDeepSpeed };
std::span<const std::string_view> enum_names(DistributedType) {
  static constexpr std::string_view kNames[] = {"NO", "MULTI_GPU", "MULTI_CPU", "DEEPSPEED"};
  return kNames;
}

struct DeepSpeedKeys {
  int zero_stage = 2;  // accelerate's default
  std::optional<int> gradient_accumulation_steps;
  std::optional<double> gradient_clipping;
};

// "auto" is accelerate's word for "as in the recipe".
void apply_map(FieldList& fields, const Value& map, const std::string& path, std::vector<std::string>& notices) {
  std::vector<Assignment> assignments = assignments_of(map, path);
  std::erase_if(assignments, [](const Assignment& assignment) { return assignment.value.is_scalar() && assignment.value.text == "auto"; });
  apply_assignments(fields, assignments, notices);
}

DeepSpeedKeys read_deepspeed(const Value& map, const std::string& path, std::vector<std::string>& notices) {
  DeepSpeedKeys keys;
  std::string offload_optimizer, offload_param;
  FieldList fields;
  fields.add("zero_stage", keys.zero_stage, "0 to 3.").at_least(0).at_most(3);
  fields.add("gradient_accumulation_steps", keys.gradient_accumulation_steps, "Micro-steps per step.").at_least(1);
  fields.add("gradient_clipping", keys.gradient_clipping, "Global norm.").at_least(0);
  const std::string offload = "optimizer state and parameters stay in device memory; use zero3, or more ranks";
  for (const char* key : {"offload_optimizer_device", "offload_param_device", "offload_optimizer_nvme_path", "offload_param_nvme_path"}) {
    fields.unsupported(key, {"none", "null"}, offload);
  }
  fields.unsupported("deepspeed_config_file", {"none"}, "write zero_stage and the other keys into this file");
  for (const char* key :
       {"deepspeed_multinode_launcher", "zero3_init_flag", "zero3_save_16bit_model", "deepspeed_hostfile", "deepspeed_exclusion_filter",
        "deepspeed_inclusion_filter", "deepspeed_moe_layer_cls_names", "zero_allow_untested_optimizer"}) {
    fields.ignored(key, "");
  }
  std::vector<std::string> launcher_notices;  // launching and building sharded is always done here: nothing to say
  apply_map(fields, map, path, launcher_notices);
  for (std::string& notice : launcher_notices) {
    if (notice.find("has no effect") == std::string::npos) notices.push_back(std::move(notice));
  }
  return keys;
}

}  // namespace

std::string find_accelerate_config(const std::string& name, std::span<const std::string> folders) {
  namespace fs = std::filesystem;
  if (fs::is_regular_file(name)) return name;
  std::string stem = fs::path(name).filename().string();
  for (const char* suffix : {".yaml", ".yml"}) {
    if (stem.ends_with(suffix)) stem.resize(stem.size() - std::string_view(suffix).size());
  }
  if (to_lower_ascii(stem).starts_with("fsdp"))
    fail(ErrorKind::kConfig, "--accelerate_config {}: FSDP is not supported: {}", name, kFsdpHint);
  // Open R1 keeps these files under recipes/, we keep them beside it.
  const bool is_bare = name.find('/') == std::string::npos;
  const bool is_open_r1_path = name.find("accelerate_configs/") != std::string::npos;
  std::vector<std::string> tried = {name};
  for (const std::string& folder : folders) {
    std::vector<fs::path> candidates = {fs::path(folder) / name};
    if (is_bare || is_open_r1_path) {
      candidates.push_back(fs::path(folder) / "accelerate_configs" / (stem + ".yaml"));
      candidates.push_back(fs::path(folder) / "recipes" / "accelerate_configs" / (stem + ".yaml"));
    }
    for (const fs::path& candidate : candidates) {
      const std::string path = candidate.lexically_normal().string();
      if (fs::is_regular_file(path)) return path;
      if (std::find(tried.begin(), tried.end(), path) == tried.end()) tried.push_back(path);
    }
  }
  fail(ErrorKind::kConfig, "--accelerate_config {}: no such file; tried {}; names that come with the suite: ddp, zero2, zero3", name,
       join(tried, ", "));
}

AccelerateConfig read_accelerate_config(const std::string& path) {
  AccelerateConfig config;
  config.path = path;
  DistributedType distributed_type = DistributedType::kNo;
  std::string mixed_precision = "no";
  Dict deepspeed;
  FieldList fields;
  Field& type = fields.add("distributed_type", distributed_type, "How ranks share the work.");
  type.unsupported_choice("FSDP", std::string(kFsdpHint));
  type.unsupported_choice("MEGATRON_LM", "use accelerate_configs/zero3.yaml");
  for (const char* name : {"XLA", "TPU", "MULTI_XPU", "MULTI_NPU", "MULTI_MLU", "MULTI_HPU"}) {
    type.unsupported_choice(name, "devices are CPUs and NVIDIA GPUs; use MULTI_GPU or MULTI_CPU");
  }
  fields.add("mixed_precision", mixed_precision, "bf16 or no.")
      .choices({"no", "bf16"})
      .choice_alias("false", "no")
      .unsupported_choice("fp16", "use bf16, which needs no loss scaling")
      .unsupported_choice("fp8", "use bf16");
  fields.add("num_processes", config.num_processes, "Ranks in all.").at_least(1);
  fields.add("gradient_accumulation_steps", config.gradient_accumulation_steps, "Micro-steps per step.").at_least(1);
  fields.add("deepspeed_config", deepspeed, "ZeRO stage.");
  fields.unsupported("fsdp_config", {}, std::string(kFsdpHint));
  fields.unsupported("megatron_lm_config", {}, "use accelerate_configs/zero3.yaml");
  fields.unsupported("fp8_config", {}, "use mixed_precision: bf16");
  // What the launcher decided there is decided by mpirun or srun here.
  for (const char* key : {"compute_environment",
                          "debug",
                          "downcast_bf16",
                          "enable_cpu_affinity",
                          "gpu_ids",
                          "machine_rank",
                          "main_training_function",
                          "num_machines",
                          "rdzv_backend",
                          "same_network",
                          "tpu_env",
                          "tpu_use_cluster",
                          "tpu_use_sudo",
                          "use_cpu",
                          "main_process_ip",
                          "main_process_port",
                          "dynamo_config",
                          "command_file",
                          "commands",
                          "ipex_config",
                          "mpirun_config",
                          "tpu_name",
                          "tpu_zone"}) {
    fields.ignored(key, "");
  }
  std::vector<std::string> launcher_notices;
  const Value document = read_yaml_file(path);
  if (document.is_null()) fail(ErrorKind::kConfig, "{}: expected an accelerate configuration, found an empty file", path);
  apply_map(fields, document, path, launcher_notices);

  config.bf16 = mixed_precision == "bf16";
  if (distributed_type == DistributedType::kDeepSpeed) {
    const DeepSpeedKeys keys = read_deepspeed(deepspeed.root(), path, config.notices);
    config.gradient_clipping = keys.gradient_clipping;
    if (keys.gradient_accumulation_steps) config.gradient_accumulation_steps = keys.gradient_accumulation_steps;
    if (keys.zero_stage == 3) config.sharding_strategy = ShardingStrategy::kZero3;
    if (keys.zero_stage == 1 || keys.zero_stage == 2) config.sharding_strategy = ShardingStrategy::kZero2;
    if (keys.zero_stage == 1) config.notices.push_back(fmt::format("{}: ZeRO stage 1 runs as stage 2, which needs less memory", path));
  } else if (!deepspeed.empty()) {
    fail(ErrorKind::kConfig, "{}: 'deepspeed_config' needs distributed_type: DEEPSPEED", fields.find("deepspeed_config")->where);
  }
  return config;
}

}  // namespace r1::config
