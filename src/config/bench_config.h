// r1_bench: benchmarks of a model, or the comparison of two results.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/generate_config.h"

namespace r1::config {

/// feb25: greedy, one sample, 32,768 new tokens, problem only (the published tables); head: 0.6 / 0.95 and n per task.
enum class BenchProfile { kFeb25, kHead };
std::span<const std::string_view> enum_names(BenchProfile);

struct BenchConfig : CommonConfig, SamplingArgs {
  std::string model, model_revision = "main";
  std::vector<std::string> tasks;
  std::optional<std::string> data_dir;
  std::optional<int> num_samples;  // none: the profile's
  BenchProfile profile = BenchProfile::kFeb25;
  std::int64_t max_new_tokens = 32768;
  std::optional<std::string> system_prompt;
  bool chat_template_off = false;  // --no-chat-template
  std::optional<std::int64_t> max_model_len, max_samples;
  std::optional<GenerationDType> dtype;
  int tensor_parallel_size = 1, pipeline_parallel_size = 1;
  std::optional<ByteSize> kv_cache_memory;
  bool enforce_eager = false, batch_invariant = false;
  int max_num_sequences = 256;
  std::vector<std::string> compare;  // two result files or folders; then model and tasks are not needed
  std::string output_dir;
};

FieldList bench_fields(BenchConfig& config);

}  // namespace r1::config
