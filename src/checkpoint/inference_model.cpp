#include "checkpoint/inference_model.h"

#include <algorithm>
#include <filesystem>

#include "base/hash.h"
#include "base/json.h"
#include "checkpoint/hf_import.h"
#include "io/safetensors.h"
#include "models/registry.h"

namespace r1::checkpoint {
namespace {

template <typename T>
void read_number(const Json& json, const char* key, std::optional<T>& value, const std::string& path) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return;
  if (!found->is_number()) fail(ErrorKind::kModel, "{}: {}: expected a number, found {}", path, key, found->dump());
  value = found->get<T>();
}

std::vector<std::int32_t> id_list(const Json& value, const std::string& path) {
  std::vector<std::int32_t> ids;
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer()) fail(ErrorKind::kModel, "{}: eos_token_id: expected an id or a list of ids, found {}", path, value.dump());
    ids.push_back(id.get<std::int32_t>());
  }
  return ids;
}

/// bf16 only when every matrix is: narrowing any of them would change the model.
DType stored_dtype(const io::Safetensors& files) {
  const auto is_bf16 = [](const io::StoredTensor& stored) { return stored.shape.size() != 2 || stored.dtype == DType::kBF16; };
  return std::ranges::all_of(files.tensors(), is_bf16) ? DType::kBF16 : DType::kF32;
}

/// Stages by the bytes that their weights take in this storage.
models::ModelPart part_of(const models::ModelConfig& config, parallel::WeightStorage storage, DType stored, const ModelPlace& place) {
  models::check_model_can_be_cut(config, place.tensor_size, place.num_stages);
  models::ModelPart part{place.tensor_rank, place.tensor_size};
  if (place.num_stages == 1) return part;
  const auto whole = models::make_model(config);
  const auto bytes_of_unit = [&](int unit) {
    std::int64_t bytes = 0;
    whole->parameters().for_each_of_unit(unit,
                                         [&](nn::Parameter& parameter) { bytes += parallel::inference_bytes(parameter, storage, stored); });
    return bytes;
  };
  // Units: embedding, layers, head. A tied table stands in the first and in the last stage.
  std::vector<std::int64_t> layer_bytes;
  for (int layer = 0; layer < config.num_hidden_layers; ++layer) layer_bytes.push_back(bytes_of_unit(1 + layer));
  const std::int64_t embedding = bytes_of_unit(0), head = bytes_of_unit(1 + config.num_hidden_layers);
  const std::vector<int> borders =
      models::stage_borders(layer_bytes, embedding, head + (config.tie_word_embeddings ? embedding : 0), place.num_stages);
  part.first_layer = borders[static_cast<std::size_t>(place.stage)];
  part.end_layer = borders[static_cast<std::size_t>(place.stage) + 1];
  return part;
}

}  // namespace

GenerationDefaults load_generation_defaults(const std::string& folder, const text::Tokenizer& tokenizer) {
  GenerationDefaults defaults;
  const std::string path = folder + "/generation_config.json";
  if (std::filesystem::exists(path)) {
    const Json json = read_json_file(path, ErrorKind::kModel);
    if (!json.is_object()) fail(ErrorKind::kModel, "{}: expected a JSON object", path);
    read_number(json, "temperature", defaults.temperature, path);
    read_number(json, "top_p", defaults.top_p, path);
    read_number(json, "min_p", defaults.min_p, path);
    read_number(json, "repetition_penalty", defaults.repetition_penalty, path);
    read_number(json, "top_k", defaults.top_k, path);
    if (const auto do_sample = json.find("do_sample"); do_sample != json.end() && do_sample->is_boolean()) {
      defaults.do_sample = do_sample->get<bool>();
    }
    if (const auto eos = json.find("eos_token_id"); eos != json.end() && !eos->is_null()) defaults.eos_token_ids = id_list(*eos, path);
  }
  if (defaults.eos_token_ids.empty()) {
    for (const std::int64_t id : models::load_model_config(folder).eos_token_ids) {
      defaults.eos_token_ids.push_back(static_cast<std::int32_t>(id));
    }
  }
  if (const auto eos = tokenizer.eos_token_id(); defaults.eos_token_ids.empty() && eos) defaults.eos_token_ids.push_back(*eos);
  std::ranges::sort(defaults.eos_token_ids);
  const auto repeated = std::ranges::unique(defaults.eos_token_ids);
  defaults.eos_token_ids.erase(repeated.begin(), repeated.end());
  return defaults;
}

DType stored_dtype(const std::string& folder, DType if_absent) {
  const auto has = [&](const char* name) { return std::filesystem::exists(folder + "/" + name); };
  if (!has("model.safetensors") && !has("model.safetensors.index.json")) return if_absent;
  return stored_dtype(io::Safetensors::open(folder));
}

std::unique_ptr<InferenceModel> load_inference_model(const ExecContext& ctx, const std::string& folder, parallel::WeightStorage storage,
                                                     const ModelPlace& place) {
  if (storage == parallel::WeightStorage::kInt8 && ctx.backend() == Backend::kCuda) {
    fail(ErrorKind::kUsage, "weights in int8 are for the CPU: on CUDA use --dtype float8_e4m3fn or bfloat16");
  }
  text::Tokenizer tokenizer = text::Tokenizer::load(folder);
  GenerationDefaults defaults = load_generation_defaults(folder, tokenizer);
  auto loaded =
      std::make_unique<InferenceModel>(InferenceModel{folder, std::move(tokenizer), std::move(defaults), nullptr, nullptr, nullptr});
  const DType stored = stored_dtype(io::Safetensors::open(folder));
  models::ModelConfig config = models::load_model_config(folder);
  const models::ModelPart part = part_of(config, storage, stored, place);
  loaded->model = models::make_model(std::move(config), part);
  nn::ParameterSet& parameters = loaded->model->parameters();
  loaded->store = std::make_unique<parallel::InferenceStore>(ctx, parameters, storage, stored);
  loaded->runner = std::make_unique<nn::UnitRunner>(parameters, *loaded->store);
  load_weights(folder, *loaded->model,
               [&](const nn::Parameter& parameter, const Tensor& value) { loaded->store->set_value(parameter, value); });
  return loaded;
}

std::string model_content_hash(const std::string& folder) {
  Xxh3Stream hash;
  hash.update(models::load_model_config(folder).json_text);
  const io::Safetensors files = io::Safetensors::open(folder);
  for (const io::StoredTensor& stored : files.tensors()) {
    hash.update(stored.name);
    hash.update(stored.bytes.data(), stored.bytes.size());
  }
  return hash.hex_digest();
}

std::string model_content_hash(const std::string& folder, comm::Communicator& ranks) {
  const std::string own = ranks.rank() == 0 ? model_content_hash(folder) : std::string();
  const std::vector<std::byte> first = ranks.host_gather(std::as_bytes(std::span(own)), "hash of the model").front();
  std::string hash(first.size(), ' ');
  std::ranges::transform(first, hash.begin(), [](std::byte byte) { return static_cast<char>(byte); });
  return hash;
}

}  // namespace r1::checkpoint
