#include "config/bench_config.h"

namespace r1::config {

std::span<const std::string_view> enum_names(BenchProfile) {
  static constexpr std::string_view kNames[] = {"feb25", "head"};
  return kNames;
}

FieldList bench_fields(BenchConfig& config) {
  FieldList fields;
  fields.group("Model and tasks", "eval/harness");
  fields.add("model", config.model, "Local folder, or a name under R1_MODELS or the Hugging Face cache.").used_by("hub/resolve");
  fields.add("model_revision", config.model_revision, "Revision to look for in the Hugging Face cache.").used_by("hub/resolve");
  fields.add("tasks", config.tasks, "Names with commas between, such as math_500,aime24,gpqa:diamond or builtin/chain, or YAML files.")
      .comma_separated();
  fields.add("data_dir", config.data_dir, "Folder with <task>/test.{jsonl,parquet,csv}.").shown_default("R1_DATA");
  fields.add("num_samples", config.num_samples, "Samples per problem.").at_least(1).shown_default("the profile's");
  fields.add("profile", config.profile, "feb25: greedy, one sample, problem only; head: 0.6 / 0.95 and several samples.");
  fields.add("max_new_tokens", config.max_new_tokens, "New tokens of an answer.").at_least(1);
  fields.add("max_model_len", config.max_model_len, "Prompt and answer together.").at_least(1).shown_default("the model's own");
  fields.add("system_prompt", config.system_prompt, "System message before the problem.");
  fields.add("no_chat_template", config.chat_template_off, "Send the problem as plain text.");
  fields.add("max_samples", config.max_samples, "Only the first problems of each task.").at_least(1);
  add_sampling_fields(fields, config);

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

  fields.add("max_num_sequences", config.max_num_sequences, "Samples that are generated at a time; the result does not depend on it.")
      .at_least(1)
      .at_most(65536);

  fields.group("Output", "eval/results");
  fields.add("output_dir", config.output_dir, "Folder for results, details and report.html; with --compare, for comparison.json.");
  fields.add("compare", config.compare, "Two results (files or folders) to compare instead of running tasks.");
  add_common_fields(fields, config);
  return fields;
}

}  // namespace r1::config
