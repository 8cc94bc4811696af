// A model folder loaded for generation: weights in the wanted storage, tokenizer, and what its files say about sampling.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "models/causal_lm.h"
#include "nn/unit_runner.h"
#include "parallel/inference_store.h"
#include "text/tokenizer.h"

namespace r1::checkpoint {

/// What generation_config.json (and the EOS of config.json and of the tokenizer, where it names none) says. Absent keys are empty.
struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::optional<bool> do_sample;
  std::vector<std::int32_t> eos_token_ids;  // ascending
};
/// Throws Error(kModel) when the file cannot be read; a missing file leaves everything but the EOS ids empty.
GenerationDefaults load_generation_defaults(const std::string& folder, const text::Tokenizer& tokenizer);

/// Members refer to each other: it stays where it was made.
struct InferenceModel {
  std::string folder;
  text::Tokenizer tokenizer;
  GenerationDefaults defaults;
  std::unique_ptr<models::CausalLM> model;
  std::unique_ptr<parallel::InferenceStore> store;
  std::unique_ptr<nn::UnitRunner> runner;
};

/// Which of a model's tensor_size × num_stages parts.
struct ModelPlace {
  int tensor_rank = 0, tensor_size = 1;
  int stage = 0, num_stages = 1;  // of a pipeline; stages are cut so that their weights take about the same memory
};

/// What WeightStorage::kStored keeps of a folder's weights: bf16 when every matrix on disk is bf16, else f32. Without weight files (a plan
/// from dimensions alone): if_absent.
DType stored_dtype(const std::string& folder, DType if_absent);

/// Loads a folder, or one part of it: of the files only that part is read. storage: how weight matrices are kept
/// (parallel/inference_store.h). Throws Error(kModel), and Error(kUsage) when the model cannot be cut into so many parts.
std::unique_ptr<InferenceModel> load_inference_model(const ExecContext& ctx, const std::string& folder, parallel::WeightStorage storage,
                                                     const ModelPlace& place = {});

/// 32 hexadecimal digits over config.json and the contents of all tensor files: the provenance of what was generated.
std::string model_content_hash(const std::string& folder);
/// The same, computed on the first rank alone: the others need not read the whole model. Collective.
std::string model_content_hash(const std::string& folder, comm::Communicator& ranks);

}  // namespace r1::checkpoint
