// r1_inspect model and init-model.
#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "apps/inspect/loaded_model.h"
#include "apps/inspect/model_commands.h"
#include "apps/inspect/storage_check.h"
#include "base/files.h"
#include "base/strings.h"
#include "checkpoint/hf_export.h"
#include "checkpoint/hf_import.h"
#include "checkpoint/init_weights.h"
#include "config/fields.h"
#include "io/safetensors.h"
#include "models/registry.h"

namespace r1::apps {
namespace {

struct InitModelOptions {
  std::string config, tokenizer, output, init = "normal";
  std::uint64_t seed = 42;
  double embedding_std = 0.1;
};

config::FieldList init_model_fields(InitModelOptions& options) {
  config::FieldList fields;
  fields.add("config", options.config, "config.json of the model to make.").required();
  fields.add("tokenizer", options.tokenizer, "Folder whose tokenizer files go into the model; none: weights and config alone.");
  fields.add("output", options.output, "Folder to write.").required();
  fields.add("seed", options.seed, "Seed of the start values.");
  fields.add("init", options.init, "normal: initializer_range for every matrix; scaled: 0.7/sqrt(fan_in), o and down × 1/sqrt(2L).")
      .choices({"normal", "scaled"});
  fields.add("embedding_std", options.embedding_std, "Standard deviation of the embedding under --init scaled.").above(0);
  return fields;
}

}  // namespace

int run_model(std::span<const std::string> arguments) {
  std::string folder, text_file;
  bool check_int8 = false, check_fp8 = false;
  config::FieldList fields;
  fields.positional("DIR", folder, "Model folder in Hugging Face layout.");
  fields.add("check_int8", check_int8, "Prints what int8 weights cost in log-prob on a text.");
  fields.add("check_fp8", check_fp8, "The same for float8_e4m3fn weights and activations.");
  fields.add("text", text_file, "Text file for these checks; none: a built-in sample.");
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect model DIR [--check-int8] [--check-fp8]",
                                 "Architecture, parameters, bytes by dtype, what is missing or extra."));
    return 0;
  }
  const auto model = models::make_model(models::load_model_config(folder));
  const models::ModelConfig& c = model->config();
  fmt::print("architecture   {}\n", c.model_type);
  fmt::print("parameters     {} ({})\n", model->parameters().num_elements(),
             format_count(static_cast<double>(model->parameters().num_elements())));
  fmt::print("shape          {} layers, hidden {}, MLP {}, {} query and {} key/value heads of {}, vocabulary {}{}\n", c.num_hidden_layers,
             c.hidden_size, c.intermediate_size, c.num_attention_heads, c.num_key_value_heads, c.head_dim, c.vocab_size,
             c.tie_word_embeddings ? ", tied head" : "");
  fmt::print("positions      {} (rope theta {}, {})\n", c.max_position_embeddings, c.rope_theta, c.rope_scaling.rope_type);
  const io::Safetensors files = io::Safetensors::open(folder);
  std::map<std::string, std::uint64_t> bytes_by_dtype;
  for (const io::StoredTensor& stored : files.tensors()) bytes_by_dtype[std::string(dtype_name(stored.dtype))] += stored.bytes.size();
  for (const auto& [dtype, bytes] : bytes_by_dtype) fmt::print("stored         {}: {}\n", dtype, format_bytes(static_cast<double>(bytes)));
  const checkpoint::NameComparison names = checkpoint::compare_names(files, *model);
  for (const std::string& name : names.missing) fmt::print("missing        {}\n", name);
  for (const std::string& name : names.extra) fmt::print("extra          {}\n", name);
  if (!names.missing.empty()) return exit_code(ErrorKind::kModel);
  if (check_int8) print_storage_check(folder, text_file, parallel::WeightStorage::kInt8, "int8");
  if (check_fp8) print_storage_check(folder, text_file, parallel::WeightStorage::kFp8, "fp8");
  return 0;
}

int run_init_model(std::span<const std::string> arguments) {
  InitModelOptions options;
  config::FieldList fields = init_model_fields(options);
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect init-model --config config.json --tokenizer DIR --output DIR [--seed S]",
                                 "A randomly initialised model in Hugging Face layout."));
    return 0;
  }
  if (!options.tokenizer.empty() && !std::filesystem::exists(options.tokenizer + "/tokenizer.json")) {
    fail(ErrorKind::kModel, "{}: no tokenizer.json in this folder", options.tokenizer);
  }
  LoadedModel made = make_empty_model(models::parse_model_config(read_file(options.config, ErrorKind::kModel), options.config), 1);
  const checkpoint::InitScheme scheme = options.init == "scaled" ? checkpoint::InitScheme::kScaled : checkpoint::InitScheme::kNormal;
  checkpoint::init_weights(*made.model, *made.store, {scheme, options.embedding_std, options.seed});
  checkpoint::export_model(options.output, *made.model, *made.store, {made.model->config().torch_dtype, options.tokenizer});
  fmt::print("{}: {} parameters\n", options.output, made.model->parameters().num_elements());
  return 0;
}

}  // namespace r1::apps
