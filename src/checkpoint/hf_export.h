// A trained model as a Hugging Face folder that transformers loads as it is.
#pragma once

#include <string>

#include "models/causal_lm.h"
#include "parallel/parameter_store.h"

namespace r1::checkpoint {

struct ExportOptions {
  DType dtype = DType::kF32;  // of the saved weights; config.json says the same
  std::string source_folder;  // where tokenizer files and generation_config.json come from; empty: none
};

/// Writes model.safetensors (or shards and index), config.json, and copies generation_config.json and the tokenizer's files.
/// Collective: every rank of the data-parallel group calls it; rank 0 writes. Each file has its final name only when whole.
/// Throws Error(kDisk); Error(kNumeric) for a weight that is not finite: such a model is never written.
void export_model(const std::string& folder, models::CausalLM& model, parallel::ParameterStore& store, const ExportOptions& options);

/// Copies tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja and the like, those that exist.
void copy_tokenizer_files(const std::string& from, const std::string& to);

/// config.json's text with torch_dtype (and dtype, where the file has it) set.
std::string config_json_with_dtype(const std::string& config_json, DType dtype);

}  // namespace r1::checkpoint
