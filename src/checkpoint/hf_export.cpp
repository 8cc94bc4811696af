#include "checkpoint/hf_export.h"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <map>

#include "base/files.h"
#include "base/json.h"
#include "checkpoint/manifest.h"
#include "checkpoint/state_layout.h"
#include "checkpoint/state_reader.h"
#include "checkpoint/training_state.h"
#include "io/safetensors_writer.h"

namespace r1::checkpoint {
namespace {

constexpr const char* kTokenizerFiles[] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt",     "chat_template.jinja",   "chat_template.json"};

void copy_if_there(const std::string& from, const std::string& to, const char* name) {
  const std::string source = from + "/" + name;
  std::error_code error;
  if (!std::filesystem::exists(source, error) || std::filesystem::equivalent(from, to, error)) return;
  write_file_atomically(to + "/" + name, read_file(source, ErrorKind::kModel));
}

// The values of one parameter in the saved dtype.
Tensor converted(const Tensor& value, DType dtype, const std::string& name) {
  const auto from = value.host_span<float>();
  for (const float x : from) {
    if (!std::isfinite(x)) fail(ErrorKind::kNumeric, "{}: holds a value that is not finite; the model was not saved", name);
  }
  if (dtype == DType::kF32) return value;
  Tensor result = Tensor::host(value.shape(), dtype);
  auto to = result.host_span<std::uint16_t>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = dtype == DType::kBF16 ? f32_to_bf16(from[i]) : f32_to_f16(from[i]);
  return result;
}

// value_of(name): a host f32 tensor, valid until the next call; asked for once each, in the order of the descriptions.
void write_folder(const std::string& folder, const std::vector<io::TensorDescription>& descriptions, const std::string& config_json,
                  const ExportOptions& options, const std::function<Tensor(const std::string& name)>& value_of) {
  if (options.dtype != DType::kF32 && options.dtype != DType::kBF16 && options.dtype != DType::kF16) {
    fail(ErrorKind::kUsage, "save_dtype: expected float32, bfloat16 or float16, found {}", dtype_name(options.dtype));
  }
  make_directories(folder);
  Tensor current;
  io::write_model_folder(folder, descriptions, [&](const io::TensorDescription& description) {
    current = converted(value_of(description.name), options.dtype, description.name);
    return options.dtype == DType::kF32 ? std::as_bytes(std::span<const float>(current.host_span<float>()))
                                        : std::as_bytes(std::span<const std::uint16_t>(current.host_span<std::uint16_t>()));
  });
  write_file_atomically(folder + "/config.json", config_json_with_dtype(config_json, options.dtype));
  if (!options.source_folder.empty()) {
    copy_if_there(options.source_folder, folder, "generation_config.json");
    copy_tokenizer_files(options.source_folder, folder);
  }
  if (!options.chat_template.empty()) write_file_atomically(folder + "/chat_template.jinja", options.chat_template);
}

}  // namespace

std::string config_json_with_dtype(const std::string& config_json, DType dtype) {
  Json config = parse_json(config_json, "config.json", ErrorKind::kModel);
  const std::string name(dtype_name(dtype));
  if (config.contains("dtype")) config["dtype"] = name;
  if (config.contains("torch_dtype") || !config.contains("dtype")) config["torch_dtype"] = name;
  return config.dump(2) + "\n";
}

void copy_tokenizer_files(const std::string& from, const std::string& to) {
  for (const char* name : kTokenizerFiles) copy_if_there(from, to, name);
}

void export_model(const std::string& folder, models::CausalLM& model, parallel::ParameterStore& store, const ExportOptions& options) {
  if (store.communicator().rank() != 0) {  // the other ranks give their pieces, in the order in which rank 0 writes
    model.parameters().for_each([&](nn::Parameter& parameter) { store.gather_value(parameter); });
    return;
  }
  std::vector<io::TensorDescription> descriptions;
  model.parameters().for_each([&](nn::Parameter& parameter) {
    descriptions.push_back({parameter.name, options.dtype, {parameter.shape.dims().begin(), parameter.shape.dims().end()}});
  });
  write_folder(folder, descriptions, model.config().json_text, options,
               [&](const std::string& name) { return store.gather_value(*model.parameters().find(name)); });
}

void export_checkpoint(const std::string& checkpoint, const std::string& to, const std::string& tokenizer_folder) {
  namespace fs = std::filesystem;
  if (fs::exists(to) && !(fs::is_directory(to) && fs::is_empty(to)))
    fail(ErrorKind::kUsage, "{}: expected a folder that is new or empty, found files there", to);
  const Manifest manifest = read_manifest(checkpoint);
  const std::vector<std::string> damage = find_damage(checkpoint, manifest);
  if (!damage.empty()) fail(ErrorKind::kData, "{}: damaged: {}", checkpoint, damage.front());
  const TrainingState state = training_state_from(manifest.state_json, checkpoint + "/" + kManifestName);
  ExportOptions options = state.model.save;
  if (!tokenizer_folder.empty()) options.source_folder = tokenizer_folder;
  if (!fs::exists(options.source_folder + "/tokenizer.json")) {
    fail(ErrorKind::kModel, "{}: expected tokenizer.json of the model that was trained there; name its folder with --tokenizer",
         options.source_folder);
  }
  StateReader reader(checkpoint, manifest);
  std::vector<io::TensorDescription> descriptions;
  std::map<std::string, DatasetEntry> values;
  const std::string prefix = std::string(kStateKinds[0]) + "/";
  for (const DatasetEntry& dataset : reader.datasets()) {
    if (!dataset.name.starts_with(prefix)) continue;
    const std::string name = dataset.name.substr(prefix.size());
    descriptions.push_back({name, options.dtype, dataset.shape});
    values.emplace(name, dataset);
  }
  const fs::path target = fs::absolute(to + "/").parent_path();
  const std::string temporary = fmt::format("{}.tmp.{}", target.string(), getpid());
  try {
    write_folder(temporary, descriptions, state.model.config_json, options, [&](const std::string& name) {
      const DatasetEntry& dataset = values.at(name);
      Tensor value = Tensor::host(Shape(std::span<const std::int64_t>(dataset.shape)), DType::kF32);
      const auto elements = value.host_span<float>();
      for (std::int64_t at = 0; at < dataset.num_elements; at += kSliceElements) {
        const std::int64_t count = std::min(kSliceElements, dataset.num_elements - at);
        reader.read(dataset.name, at, elements.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count)));
      }
      return value;
    });
    fs::remove(target);
    fs::rename(temporary, target);
    sync_directory(target.parent_path().string());
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
}

}  // namespace r1::checkpoint
