#include "models/model_config.h"

#include <fmt/format.h>

#include <filesystem>
#include <limits>

#include "base/files.h"
#include "base/json.h"

namespace r1::models {
namespace {

class ConfigReader {
 public:
  ConfigReader(const Json& json, std::string_view where) : json_(json), where_(where) {
    if (!json.is_object()) fail(ErrorKind::kModel, "{}: expected a JSON object with the keys of a model's config", where_);
  }

  const Json* find(const char* key) const {
    const auto entry = json_.find(key);
    return entry == json_.end() || entry->is_null() ? nullptr : &*entry;
  }

  std::int64_t integer(const char* key, std::optional<std::int64_t> fallback, std::int64_t minimum, std::int64_t maximum) const {
    const Json* value = find(key);
    if (value == nullptr) {
      if (!fallback) fail(ErrorKind::kModel, "{}: the key '{}' is missing", where_, key);
      return *fallback;
    }
    if (!value->is_number_integer()) fail(ErrorKind::kModel, "{}: '{}': expected an integer, found {}", where_, key, value->dump());
    const auto number = value->get<std::int64_t>();
    if (number < minimum || number > maximum) {
      fail(ErrorKind::kModel, "{}: '{}': expected a value from {} to {}, found {}", where_, key, minimum, maximum, number);
    }
    return number;
  }

  double number(const char* key, double fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_number()) fail(ErrorKind::kModel, "{}: '{}': expected a number, found {}", where_, key, value->dump());
    return value->get<double>();
  }

  double positive(const char* key, double fallback) const {
    const double value = number(key, fallback);
    if (!(value > 0) || value > std::numeric_limits<float>::max()) {
      fail(ErrorKind::kModel, "{}: '{}': expected a positive number, found {}", where_, key, value);
    }
    return value;
  }

  bool boolean(const char* key, bool fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) fail(ErrorKind::kModel, "{}: '{}': expected true or false, found {}", where_, key, value->dump());
    return value->get<bool>();
  }

  std::string text(const char* key, std::string fallback) const {
    const Json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_string()) fail(ErrorKind::kModel, "{}: '{}': expected a text, found {}", where_, key, value->dump());
    return value->get<std::string>();
  }

  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  std::string where_;
};

RopeScaling read_rope_scaling(const Json& json, const std::string& where) {
  const ConfigReader reader(json, where);
  RopeScaling scaling;
  scaling.rope_type = reader.text("rope_type", reader.text("type", "default"));
  if (scaling.rope_type == "default") return scaling;
  if (scaling.rope_type != "llama3") {
    fail(ErrorKind::kModel, "{}: rope type '{}' is not supported; supported are default and llama3", where, scaling.rope_type);
  }
  scaling.factor = reader.positive("factor", 1);
  scaling.low_freq_factor = reader.positive("low_freq_factor", 1);
  scaling.high_freq_factor = reader.positive("high_freq_factor", 4);
  scaling.original_max_position_embeddings =
      reader.integer("original_max_position_embeddings", std::nullopt, 1, std::numeric_limits<std::int32_t>::max());
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    fail(ErrorKind::kModel, "{}: expected high_freq_factor over low_freq_factor, found {} and {}", where, scaling.high_freq_factor,
         scaling.low_freq_factor);
  }
  return scaling;
}

void read_rope(const ConfigReader& reader, ModelConfig& config) {
  config.rope_theta = reader.positive("rope_theta", 10000);
  if (const Json* scaling = reader.find("rope_scaling"))
    config.rope_scaling = read_rope_scaling(*scaling, reader.where() + ": rope_scaling");
  if (const Json* parameters = reader.find("rope_parameters")) {
    const std::string where = reader.where() + ": rope_parameters";
    config.rope_scaling = read_rope_scaling(*parameters, where);
    config.rope_theta = ConfigReader(*parameters, where).positive("rope_theta", config.rope_theta);
  }
}

void read_tokens(const ConfigReader& reader, ModelConfig& config) {
  const auto token = [&](const char* key) -> std::optional<std::int64_t> {
    if (const Json* value = reader.find(key); value != nullptr && value->is_number_integer()) return value->get<std::int64_t>();
    return std::nullopt;
  };
  config.bos_token_id = token("bos_token_id");
  config.pad_token_id = token("pad_token_id");
  if (const Json* eos = reader.find("eos_token_id")) {
    for (const Json& id : eos->is_array() ? *eos : Json::array({*eos})) {
      if (!id.is_number_integer()) fail(ErrorKind::kModel, "{}: 'eos_token_id': expected token ids, found {}", reader.where(), eos->dump());
      config.eos_token_ids.push_back(id.get<std::int64_t>());
    }
  }
}

}  // namespace

double ModelConfig::train_flops_per_token(double sequence_length) const {
  const double query = static_cast<double>(num_attention_heads) * head_dim;
  const double key = static_cast<double>(num_key_value_heads) * head_dim;
  const double hidden = static_cast<double>(hidden_size);
  const double layer = hidden * (query + 2 * key) + query * hidden + 3 * hidden * static_cast<double>(intermediate_size);
  const double matrices = num_hidden_layers * layer + hidden * static_cast<double>(vocab_size);
  const double attention_forward = num_hidden_layers * 4 * query * (sequence_length / 2);
  return 6 * matrices + 3 * attention_forward;
}

ModelConfig parse_model_config(std::string_view json_text, std::string_view where) {
  const Json json = parse_json(json_text, where, ErrorKind::kModel);
  const ConfigReader reader(json, where);
  constexpr std::int64_t kMaxWidth = std::int64_t{1} << 24;
  constexpr std::int64_t kMaxPositions = std::int64_t{1} << 31;

  ModelConfig config;
  config.json_text = std::string(json_text);
  config.model_type = reader.text("model_type", "");
  if (config.model_type.empty()) fail(ErrorKind::kModel, "{}: the key 'model_type' is missing: which architecture is it?", where);
  config.vocab_size = reader.integer("vocab_size", std::nullopt, 1, kMaxWidth);
  config.hidden_size = reader.integer("hidden_size", std::nullopt, 1, kMaxWidth);
  config.intermediate_size = reader.integer("intermediate_size", std::nullopt, 1, kMaxWidth);
  config.num_hidden_layers = static_cast<int>(reader.integer("num_hidden_layers", std::nullopt, 1, 10000));
  config.num_attention_heads = static_cast<int>(reader.integer("num_attention_heads", std::nullopt, 1, 10000));
  config.num_key_value_heads = static_cast<int>(reader.integer("num_key_value_heads", config.num_attention_heads, 1, 10000));
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    fail(ErrorKind::kModel, "{}: num_attention_heads ({}) must be a multiple of num_key_value_heads ({})", where,
         config.num_attention_heads, config.num_key_value_heads);
  }
  if (reader.find("head_dim") == nullptr && config.hidden_size % config.num_attention_heads != 0) {
    fail(ErrorKind::kModel, "{}: hidden_size ({}) is no multiple of num_attention_heads ({}) and head_dim is not given", where,
         config.hidden_size, config.num_attention_heads);
  }
  config.head_dim = static_cast<int>(reader.integer("head_dim", config.hidden_size / config.num_attention_heads, 1, 4096));
  if (config.head_dim % 2 != 0) fail(ErrorKind::kModel, "{}: head_dim must be even for rotary positions, found {}", where, config.head_dim);
  config.max_position_embeddings = reader.integer("max_position_embeddings", 2048, 1, kMaxPositions);
  config.rms_norm_eps = static_cast<float>(reader.positive("rms_norm_eps", 1e-6));
  config.tie_word_embeddings = reader.boolean("tie_word_embeddings", false);
  config.attention_bias = reader.boolean("attention_bias", false);
  config.mlp_bias = reader.boolean("mlp_bias", false);
  if (const std::string activation = reader.text("hidden_act", "silu"); activation != "silu") {
    fail(ErrorKind::kModel, "{}: hidden_act '{}' is not supported; supported is silu", where, activation);
  }
  if (reader.boolean("use_sliding_window", false)) {
    fail(ErrorKind::kModel, "{}: use_sliding_window: true is not supported; models trained with full attention are", where);
  }
  read_rope(reader, config);
  const std::string dtype = reader.text("torch_dtype", reader.text("dtype", "float32"));
  const auto parsed = dtype_from_name(dtype);
  if (!parsed) fail(ErrorKind::kModel, "{}: torch_dtype '{}': expected float32, bfloat16 or float16", where, dtype);
  config.torch_dtype = *parsed;
  read_tokens(reader, config);
  return config;
}

ModelConfig load_model_config(const std::string& folder) {
  const std::string path = folder + "/config.json";
  if (!std::filesystem::exists(path)) {
    fail(ErrorKind::kModel,
         "{}: no config.json in this folder; expected a Hugging Face model folder (config.json, *.safetensors, tokenizer.json)", folder);
  }
  return parse_model_config(read_file(path, ErrorKind::kModel), path);
}

}  // namespace r1::models
