// accelerate's own YAML files: only what decides how a run is sharded.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/fields.h"

namespace r1::config {

/// Who holds parameters, gradients and optimizer state: every rank all of them; gradients and optimizer state in shards (ZeRO-2);
/// parameters too (ZeRO-3).
enum class ShardingStrategy { kReplicated, kZero2, kZero3 };
std::span<const std::string_view> enum_names(ShardingStrategy);

struct AccelerateConfig {
  ShardingStrategy sharding_strategy = ShardingStrategy::kReplicated;
  bool bf16 = false;                 // mixed_precision: bf16
  std::optional<int> num_processes;  // what the file expects; compared with the world size, with one notice
  std::optional<int> gradient_accumulation_steps;
  std::optional<double> gradient_clipping;
  std::string path;  // the file; empty: none was given
  std::vector<std::string> notices;
};

/// Finds the file of a path (`accelerate_configs/zero3.yaml`), a bare name (`zero3`) or Open R1's path
/// (`recipes/accelerate_configs/zero3.yaml`) in the folders, in order. Throws Error(kConfig) with what was tried.
std::string find_accelerate_config(const std::string& name, std::span<const std::string> folders);

/// Reads a file in accelerate's format. Throws Error(kConfig), file:line, for what is not supported (FSDP, Megatron, offload, fp16,
/// fp8, a DeepSpeed JSON file) with the nearest way, and for unknown keys.
AccelerateConfig read_accelerate_config(const std::string& path);

}  // namespace r1::config
