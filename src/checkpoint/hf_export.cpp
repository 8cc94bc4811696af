#include "checkpoint/hf_export.h"

#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
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
  if (options.dtype != DType::kF32 && options.dtype != DType::kBF16 && options.dtype != DType::kF16) {
    fail(ErrorKind::kUsage, "save_dtype: expected float32, bfloat16 or float16, found {}", dtype_name(options.dtype));
  }
  if (store.communicator().rank() != 0) {  // the other ranks give their pieces, in the order in which rank 0 writes
    model.parameters().for_each([&](nn::Parameter& parameter) { store.gather_value(parameter); });
    return;
  }
  make_directories(folder);
  std::vector<io::TensorDescription> descriptions;
  model.parameters().for_each([&](nn::Parameter& parameter) {
    descriptions.push_back({parameter.name, options.dtype, {parameter.shape.dims().begin(), parameter.shape.dims().end()}});
  });
  Tensor current;
  io::write_model_folder(folder, descriptions, [&](const io::TensorDescription& description) {
    const nn::Parameter* parameter = model.parameters().find(description.name);
    current = converted(store.gather_value(*parameter), options.dtype, parameter->name);
    return options.dtype == DType::kF32 ? std::as_bytes(std::span<const float>(current.host_span<float>()))
                                        : std::as_bytes(std::span<const std::uint16_t>(current.host_span<std::uint16_t>()));
  });
  write_file_atomically(folder + "/config.json", config_json_with_dtype(model.config().json_text, options.dtype));
  if (!options.source_folder.empty()) {
    copy_if_there(options.source_folder, folder, "generation_config.json");
    copy_tokenizer_files(options.source_folder, folder);
  }
}

}  // namespace r1::checkpoint
