// r1_generate: data generation, with the flags of Open R1's generate script.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/common_config.h"

namespace r1::config {

/// Storage of the weights while generating; none: as on disk.
enum class GenerationDType { kFloat32, kBFloat16, kInt8, kFloat8 };
std::span<const std::string_view> enum_names(GenerationDType);

enum class OutputFormat { kParquet, kJsonl };
std::span<const std::string_view> enum_names(OutputFormat);

/// Sampling flags; none: the model's generation_config.json, then the default.
struct SamplingArgs {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
};

/// Adds temperature, top_p, top_k, min_p and repetition_penalty.
void add_sampling_fields(FieldList& fields, SamplingArgs& args);

struct GenerateConfig : CommonConfig, SamplingArgs {
  std::string model, model_revision = "main";
  std::string hf_dataset;
  std::optional<std::string> hf_dataset_config;
  std::string hf_dataset_split = "train";
  std::string prompt_column = "prompt";
  std::string prompt_template = "{{ instruction }}";
  std::optional<std::string> system_prompt, chat_template;
  bool chat_template_off = false;  // --no-chat-template

  std::int64_t max_new_tokens = 8192, min_new_tokens = 0;
  std::optional<std::int64_t> max_model_len;
  int num_generations = 1;
  bool ignore_eos = false;
  std::vector<std::string> stop;

  std::string hf_output_dataset;
  OutputFormat output_format = OutputFormat::kParquet;
  bool output_ids = false;
  int input_batch_size = 64;
  std::optional<std::int64_t> max_samples;

  std::optional<GenerationDType> dtype;
  int tensor_parallel_size = 1, pipeline_parallel_size = 1;
  std::optional<ByteSize> kv_cache_memory;
  bool enforce_eager = false, batch_invariant = false;
};

FieldList generate_fields(GenerateConfig& config);

}  // namespace r1::config
