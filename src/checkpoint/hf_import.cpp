#include "checkpoint/hf_import.h"

#include "base/log.h"
#include "base/strings.h"
#include "io/element_convert.h"
#include "models/registry.h"

namespace r1::checkpoint {
namespace {

// Tensors that some published folders hold although they follow from the config or from another tensor.
bool is_derived(std::string_view name, const models::ModelConfig& config) {
  return name.ends_with("rotary_emb.inv_freq") || (config.tie_word_embeddings && name == "lm_head.weight");
}

void check_shape(const io::StoredTensor& stored, const nn::Parameter& parameter, const models::ModelConfig& config) {
  const Shape found(std::span<const std::int64_t>(stored.shape));
  if (found == parameter.full_shape()) return;
  fail(ErrorKind::kModel,
       "{}: expected {} from config.json (hidden_size {}, intermediate_size {}, {} query and {} key/value heads × head_dim {}, vocab_size "
       "{}), "
       "{} has {}",
       parameter.name, parameter.full_shape().to_string(), config.hidden_size, config.intermediate_size, config.num_attention_heads,
       config.num_key_value_heads, config.head_dim, config.vocab_size, stored.file, found.to_string());
}

std::string first_few(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  const std::vector<std::string> shown(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size())));
  return join(shown, ", ") + (names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : "");
}

}  // namespace

NameComparison compare_names(const io::Safetensors& files, models::CausalLM& model) {
  NameComparison result;
  model.parameters().for_each([&](nn::Parameter& parameter) {
    if (files.find(parameter.name) == nullptr) result.missing.push_back(parameter.name);
  });
  for (const io::StoredTensor& stored : files.tensors()) {
    if (model.parameters().find(stored.name) == nullptr && !is_derived(stored.name, model.config())) result.extra.push_back(stored.name);
  }
  return result;
}

void load_weights(const std::string& folder, models::CausalLM& model, parallel::ParameterStore& store) {
  load_weights(folder, model, [&](const nn::Parameter& parameter, const Tensor& value) { store.set_value(parameter, value); });
}

void load_weights(const std::string& folder, models::CausalLM& model, const SetValue& set_value) {
  const io::Safetensors files = io::Safetensors::open(folder);
  // Of a part every rank checks the whole model: the files are wrong for all ranks or for none.
  const std::unique_ptr<models::CausalLM> whole = model.part().is_whole(model.config()) ? nullptr : models::make_model(model.config());
  models::CausalLM& all = whole ? *whole : model;
  const NameComparison names = compare_names(files, all);
  if (!names.missing.empty()) {
    fail(ErrorKind::kModel, "{}: {} of the model's {} tensors are in no file: {}{}", folder, names.missing.size(), all.parameters().size(),
         first_few(names.missing), names.extra.empty() ? "" : "; the files hold instead: " + first_few(names.extra));
  }
  all.parameters().for_each([&](nn::Parameter& parameter) { check_shape(files.at(parameter.name), parameter, model.config()); });
  if (!names.extra.empty())
    log::notice("{}: {} tensors are not used by {}: {}", folder, names.extra.size(), model.config().model_type, first_few(names.extra));
  model.parameters().for_each([&](nn::Parameter& parameter) {
    const io::StoredTensor& stored = files.at(parameter.name);
    Tensor value = Tensor::host(parameter.shape, DType::kF32);
    // The rows that are here lie together in the file; the others are not read.
    const std::size_t row_bytes = stored.bytes.size() / static_cast<std::size_t>(parameter.full_rows);
    const auto here = stored.bytes.subspan(static_cast<std::size_t>(parameter.first_row) * row_bytes,
                                           static_cast<std::size_t>(parameter.shape[0]) * row_bytes);
    io::convert_to_f32(stored.dtype, here, value.host_span<float>());
    set_value(parameter, value);
  });
}

}  // namespace r1::checkpoint
