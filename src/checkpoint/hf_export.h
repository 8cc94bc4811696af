// A trained model as a Hugging Face folder that transformers loads as it is.
#pragma once

#include <string>

#include "checkpoint/export_options.h"
#include "models/causal_lm.h"
#include "parallel/parameter_store.h"

namespace r1::checkpoint {

/// Writes model.safetensors (or shards and index), config.json, and copies generation_config.json and the tokenizer's files.
/// Collective: every rank of the data-parallel group calls it; rank 0 writes. Each file has its final name only when whole.
/// Throws Error(kDisk); Error(kNumeric) for a weight that is not finite: such a model is never written.
void export_model(const std::string& folder, models::CausalLM& model, parallel::ParameterStore& store, const ExportOptions& options);

/// The same from a checkpoint of the whole state, as the run itself would have written it at that step; one process. The checkpoint is
/// verified first. `to` must not exist or be empty (Error(kUsage)) and appears whole. tokenizer_folder: in place of the source model's
/// folder, when that has moved. Throws Error(kData) for a damaged checkpoint, Error(kModel) when the tokenizer is not there.
void export_checkpoint(const std::string& checkpoint, const std::string& to, const std::string& tokenizer_folder = "");

/// Copies tokenizer.json, tokenizer_config.json, special_tokens_map.json, chat_template.jinja and the like, those that exist.
void copy_tokenizer_files(const std::string& from, const std::string& to);

/// config.json's text with torch_dtype (and dtype, where the file has it) set.
std::string config_json_with_dtype(const std::string& config_json, DType dtype);

}  // namespace r1::checkpoint
