#include "config/generate_config.h"

#include "config/legacy_keys.h"

namespace r1::config {

std::span<const std::string_view> enum_names(GenerationDType) {
  static constexpr std::string_view kNames[] = {"float32", "bfloat16", "int8", "float8_e4m3fn"};
  return kNames;
}

std::span<const std::string_view> enum_names(OutputFormat) {
  static constexpr std::string_view kNames[] = {"parquet", "jsonl"};
  return kNames;
}

void add_sampling_fields(FieldList& fields, SamplingArgs& args) {
  fields.group("Sampling", "engine/sampling_params");
  fields.add("temperature", args.temperature, "Softmax temperature; 0: greedy.").at_least(0);
  fields.add("top_p", args.top_p, "Smallest set of tokens with this probability.").above(0).at_most(1);
  fields.add("top_k", args.top_k, "The k most probable tokens; 0: all.").at_least(0);
  fields.add("min_p", args.min_p, "Tokens with at least this share of the greatest probability.").at_least(0).at_most(1);
  fields.add("repetition_penalty", args.repetition_penalty, "Above 1 discourages tokens that occurred.").above(0);
}

FieldList generate_fields(GenerateConfig& config) {
  FieldList fields;
  fields.group("Model and data", "generate/generator");
  fields.add("model", config.model, "Local folder, or a name under R1_MODELS or the Hugging Face cache.").required().used_by("hub/resolve");
  fields.add("model_revision", config.model_revision, "Revision to look for in the Hugging Face cache.").used_by("hub/resolve");
  fields.add("hf_dataset", config.hf_dataset, "File, folder, name under R1_DATA or the Hugging Face cache, or builtin/<task>.")
      .required()
      .used_by("data");
  fields.add("hf_dataset_config", config.hf_dataset_config, "Named configuration (sub-folder) of the data set.").used_by("data");
  fields.add("hf_dataset_split", config.hf_dataset_split, "Split to read.").used_by("data");
  fields.add("prompt_column", config.prompt_column, "Column of the prompts: text, messages or input_ids.");
  fields.add("prompt_template", config.prompt_template, "Jinja template of the user message; {{ instruction }} is the prompt.");
  fields.add("system_prompt", config.system_prompt, "System message before the prompt.");
  fields.add("chat_template", config.chat_template, "Chat template in place of the tokenizer's: a text, or the path of a file.");
  fields.add("no_chat_template", config.chat_template_off, "Send the prompt as plain text.");

  fields.group("Generation", "engine");
  fields.add("max_new_tokens", config.max_new_tokens, "New tokens of a sample.").at_least(1);
  fields.add("min_new_tokens", config.min_new_tokens, "No end token before so many.").at_least(0);
  fields.add("max_model_len", config.max_model_len, "Prompt and completion together.").at_least(1).shown_default("the model's own");
  fields.add("num_generations", config.num_generations, "Samples per prompt.").at_least(1).used_by("generate/generator");
  fields.add("ignore_eos", config.ignore_eos, "Go on after an end token.");
  fields.add("stop", config.stop, "Texts that end a sample.");
  add_sampling_fields(fields, config);

  fields.group("Output", "generate/output_shards");
  fields.add("hf_output_dataset", config.hf_output_dataset, "Local folder for part-*.parquet or part-*.jsonl.").required();
  fields.add("output_format", config.output_format, "Format of the parts.");
  fields.add("output_ids", config.output_ids, "Add a column generation_ids.");
  fields
      .add("input_batch_size", config.input_batch_size,
           "Rows that a rank works on at a time (at most 256 samples); the result does not depend on it.")
      .at_least(1);
  fields.add("max_samples", config.max_samples, "Only the first rows.").at_least(1).used_by("generate/generator");

  fields.group("Weights and memory", "engine");
  fields.add("dtype", config.dtype, "Storage of the weights.")
      .choice_alias("float", "float32")
      .choice_alias("bf16", "bfloat16")
      .choice_alias("fp8", "float8_e4m3fn")
      .shown_default("as on disk");
  fields.add("tensor_parallel_size", config.tensor_parallel_size, "Ranks that share each layer.").at_least(1);
  fields.add("pipeline_parallel_size", config.pipeline_parallel_size, "Ranks that share the stack of layers.").at_least(1);
  fields.add("kv_cache_memory", config.kv_cache_memory, "Memory of the KV cache per rank, such as 8GB.").shown_default("from free memory");
  fields.add("enforce_eager", config.enforce_eager,
             "Launch decode steps op by op instead of replaying them as CUDA graphs; the CPU always does.");
  fields.add("batch_invariant", config.batch_invariant,
             "On GPUs: a row's completion does not depend on the rest of its batch, which costs speed. On the CPU it never does.");
  add_common_fields(fields, config);
  add_generate_legacy_keys(fields);
  return fields;
}

}  // namespace r1::config
