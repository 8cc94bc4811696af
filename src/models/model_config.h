// config.json of a Hugging Face model folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/dtype.h"

namespace r1::models {

/// How positions beyond the trained range are scaled (config.json: rope_scaling, or rope_parameters since transformers 5).
struct RopeScaling {
  std::string rope_type = "default";  // default, llama3
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;
  std::int64_t original_max_position_embeddings = 0;
};

/// The keys that the architectures of the registry read, with Hugging Face's names and defaults.
struct ModelConfig {
  std::string model_type;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  int num_hidden_layers = 0;
  int num_attention_heads = 0;
  int num_key_value_heads = 0;
  int head_dim = 0;
  std::int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6F;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = false;
  bool attention_bias = false;  // llama, qwen3: biases on q, k, v and o; qwen2 has its own fixed pattern
  bool mlp_bias = false;
  DType torch_dtype = DType::kF32;
  std::optional<std::int64_t> bos_token_id;
  std::vector<std::int64_t> eos_token_ids;
  std::optional<std::int64_t> pad_token_id;
  std::string json_text;  // the file as read: what hf_export writes back, with the dtype changed

  /// Multiplications and additions of a forward and backward pass for one token of a sequence of the given length:
  /// 6 per matrix parameter (head included) + causal attention.
  double train_flops_per_token(double sequence_length) const;
};

/// Reads and checks a config.json text; where is its path. Throws Error(kModel) that names the key, what was expected and
/// what was found: a missing or impossible dimension, heads that do not divide, an unknown activation, a rope type or a
/// sliding window that is not supported.
ModelConfig parse_model_config(std::string_view json, std::string_view where);

/// parse_model_config of folder/config.json. A folder without one is named in the error.
ModelConfig load_model_config(const std::string& folder);

}  // namespace r1::models
