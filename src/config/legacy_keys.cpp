#include "config/legacy_keys.h"

#include <span>

namespace r1::config {

namespace {

struct Alias {
  const char *name, *field, *notice;
};

struct Ignored {
  const char* notice;
  std::vector<const char*> names;
  bool is_bool = false;
};

struct Unsupported {
  const char* hint;
  std::vector<const char*> names;
  std::vector<std::string> harmless;  // lower case; null and empty lists or maps are always harmless
  bool is_bool = false;
};

void add(FieldList& fields, std::span<const Alias> aliases, std::span<const Ignored> ignored, std::span<const Unsupported> unsupported) {
  for (const Alias& alias : aliases) fields.alias(alias.name, alias.field, alias.notice);
  for (const Ignored& group : ignored) {
    for (const char* name : group.names) fields.ignored(name, group.notice, group.is_bool);
  }
  for (const Unsupported& group : unsupported) {
    for (const char* name : group.names) fields.unsupported(name, group.harmless, group.hint, group.is_bool);
  }
}

}  // namespace

void add_training_legacy_keys(FieldList& fields) {
  static const Alias kAliases[] = {
      {"evaluation_strategy", "eval_strategy", "the key is now eval_strategy"},
      {"dtype", "torch_dtype", ""},
      {"model_name", "model_name_or_path", "the key is now model_name_or_path"},
  };
  static const Ignored kIgnored[] = {
      {"attention is built in, and exact", {"attn_implementation"}},
      {"fused kernels are always on", {"use_liger_kernel", "use_liger"}, true},
      {"fused kernels are always on", {"liger_kernel_config"}},
      {"recompute needs no reentrant form here; recompute_granularity says how much of it", {"gradient_checkpointing_kwargs"}},
      {"recompute needs no reentrant form here; recompute_granularity says how much of it", {"gradient_checkpointing_use_reentrant"}, true},
      {"code of a model folder is never run; its architecture has to be one of ours", {"trust_remote_code"}, true},
      {"the original drops this key too; the real name is dataset_config", {"dataset_configs"}},
      {"rows are tokenised on --num_threads threads of every rank",
       {"dataset_num_proc", "preprocessing_num_workers", "dataloader_num_workers", "dataloader_prefetch_factor", "dataset_batch_size"}},
      {"rows are read without workers", {"dataloader_pin_memory", "dataloader_persistent_workers"}, true},
      {"nothing is uploaded; output_dir holds everything that the hub wants",
       {"hub_model_id", "hub_strategy", "hub_model_revision", "hub_revision", "callbacks"}},
      {"nothing is uploaded; output_dir holds everything that the hub wants",
       {"push_to_hub", "hub_always_push", "hub_private_repo", "overwrite_hub_revision", "push_to_hub_revision"},
       true},
      {"metrics always go to metrics.jsonl, TensorBoard files and report.html in output_dir", {"report_to", "logging_dir"}},
      {"completions/*.jsonl holds every completion", {"wandb_log_unique_prompts"}, true},
      {"the program trains", {"do_train", "do_predict"}, true},
      {"weights are always written as safetensors", {"save_safetensors"}, true},
      {"each rank's part of a checkpoint is written once", {"save_on_each_node"}, true},
      {"there is no LoRA here (use_peft)",
       {"lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_modules_to_save", "lora_task_type"}},
      {"there is no LoRA here (use_peft)", {"use_rslora", "use_dora"}, true},
      {"there is no quantised training here (load_in_4bit)", {"bnb_4bit_quant_type", "bnb_4bit_quant_storage", "bnb_4bit_compute_dtype"}},
      {"there is no quantised training here (load_in_4bit)", {"use_bnb_nested_quant"}, true},
      {"ranks are watched by --watchdog_seconds", {"ddp_timeout"}},
      {"the communication of gradients is built in", {"ddp_backend", "ddp_bucket_cap_mb", "local_rank"}},
      {"the communication of gradients is built in",
       {"ddp_find_unused_parameters", "ddp_broadcast_buffers", "ignore_bias_buffers", "average_tokens_across_devices"},
       true},
      {"columns are chosen by name", {"label_names", "length_column_name"}},
      {"columns are chosen by name", {"remove_unused_columns"}, true},
      {"runs are always reproducible from their seed", {"full_determinism"}, true},
      {"there is no Python compiler to steer",
       {"torch_compile_backend", "torch_compile_mode", "torch_empty_cache_steps", "half_precision_backend", "accelerator_config",
        "eval_accumulation_steps", "debug", "log_level_replica"}},
      {"there is no Python stack to steer",
       {"torch_compile", "tf32", "skip_memory_metrics", "disable_tqdm", "log_on_each_node", "logging_nan_inf_filter",
        "prediction_loss_only", "include_num_input_tokens_seen", "include_tokens_per_second", "restore_callback_states_from_checkpoint",
        "use_legacy_prediction_loop", "bf16_full_eval", "disable_dropout", "include_for_metrics", "batch_eval_metrics",
        "eval_use_gather_object", "jit_mode_eval", "use_ipex"},
       true},
      {"only read with load_best_model_at_end", {"metric_for_best_model", "greater_is_better"}},
  };
  static const Unsupported kUnsupported[] = {
      {"train all parameters; zero3 and gradient_checkpointing make room", {"use_peft"}, {"false"}, true},
      {"train in bf16 or float32; zero3 and gradient_checkpointing make room", {"load_in_4bit", "load_in_8bit"}, {"false"}, true},
      {"use --accelerate_config zero3, which shards parameters, gradients and optimizer state",
       {"fsdp", "fsdp_config", "fsdp_min_num_params", "fsdp_transformer_layer_cls_to_wrap"},
       {"false", "", "0"}},
      {"name the ZeRO stage with --accelerate_config zero2 or zero3", {"deepspeed"}, {}},
      {"use bf16, which needs no loss scaling", {"fp16", "fp16_full_eval"}, {"false"}, true},
      {"use bf16", {"fp16_opt_level"}, {"o1"}},
      {"set HF_TOKEN in the environment; a secret in a recipe ends up in logs", {"hub_token", "push_to_hub_token", "token"}, {}},
      {"the optimizer is AdamW with its own keys (adam_beta1, adam_beta2, adam_epsilon, weight_decay)",
       {"optim_args", "optim_target_modules"},
       {}},
      {"use optim: adamw_torch", {"adafactor"}, {"false"}, true},
      {"give the model's values in its config.json; torch_dtype has its own key", {"model_init_kwargs"}, {}},
      {"data sets are mapped from disk, and need no streaming", {"dataset_streaming"}, {"false"}, true},
      {"the last, ragged batch is trained too; drop rows from the data instead", {"dataloader_drop_last"}, {"false"}, true},
      {"use packing: true, which wastes no padding at all", {"group_by_length"}, {"false"}, true},
      {"leave it at 0", {"label_smoothing_factor", "neftune_noise_alpha", "eval_delay"}, {"0", "0.0"}},
      {"use --plan, which says what fits, and set per_device_train_batch_size", {"auto_find_batch_size"}, {"false"}, true},
      {"keep several checkpoints (save_total_limit) and compare eval_loss in metrics.jsonl", {"load_best_model_at_end"}, {"false"}, true},
      {"use --device cpu", {"use_cpu", "no_cuda"}, {"false"}, true},
      {"activations are recomputed with gradient_checkpointing: true", {"activation_offloading"}, {"false"}, true},
      {"resuming continues exactly; drop the flag", {"ignore_data_skip"}, {"false"}, true},
      {"use eval_strategy", {"eval_on_start"}, {"false"}, true},
      {"apply the original's LoRA before; all parameters are trained here", {"peft_config"}, {}},
  };
  add(fields, kAliases, kIgnored, kUnsupported);
}

void add_sft_legacy_keys(FieldList& fields) {
  static const Alias kAliases[] = {{"max_seq_length", "max_length", "the key is now max_length"}};
  static const Ignored kIgnored[] = {
      {"batches are always free of padding", {"pad_to_multiple_of"}},
      {"batches are always free of padding", {"padding_free"}, true},
      {"packing is described by packing_strategy", {"num_of_sequences", "chars_per_token"}},
      {"generation keys are GRPO's", {"num_completions_to_print"}},
      {"generation keys are GRPO's", {"use_vllm"}, true},
  };
  static const Unsupported kUnsupported[] = {
      {"rows with ready input_ids are recognised by their column", {"dataset_kwargs"}, {}},
      {"write the prompt format as chat_template", {"formatting_func", "chat_template_path"}, {}},
      {"use the standard loss", {"loss_type"}, {"nll"}},
  };
  add(fields, kAliases, kIgnored, kUnsupported);
}

void add_grpo_legacy_keys(FieldList& fields) {
  static const Ignored kIgnored[] = {
      {"generation is built in, on every rank; the original's layout is --num_processes=<world size - 1>", {"use_vllm"}, true},
      {"generation is built in, on every rank",
       {"vllm_device", "vllm_gpu_memory_utilization", "vllm_dtype", "vllm_max_model_len", "vllm_max_model_length", "vllm_mode",
        "vllm_server_base_url", "vllm_server_host", "vllm_server_port", "vllm_server_timeout", "vllm_tensor_parallel_size",
        "vllm_model_impl", "cache_implementation", "vllm_group_port"}},
      {"generation is built in, on every rank",
       {"vllm_enable_prefix_caching", "vllm_enable_sleep_mode", "use_transformers_paged", "ds3_gather_for_generation"},
       true},
      {"completions/*.jsonl holds every completion of a logged step", {"log_completions", "log_unique_prompts"}, true},
      {"fused kernels are always on", {"use_liger_loss"}, true},
      {"code is not executed here",
       {"code_eval_test_batch_size", "code_eval_scoring_mode", "parallel_code_exec_per_proc", "code_provider", "ioi_provider",
        "e2b_router_url", "morph_router_url"}},
  };
  static const Unsupported kUnsupported[] = {
      {"completions are drawn from the model alone", {"vllm_guided_decoding_regex", "generation_kwargs"}, {}},
      {"all tokens of a completion are trained", {"top_entropy_quantile"}, {"1", "1.0"}},
      {"the KL term has no such factor here", {"use_bias_correction_kl"}, {"false"}, true},
      {"rollout and training share their numerics, and need no correction",
       {"vllm_importance_sampling_correction"},
       {"false", "true"},
       true},
  };
  add(fields, {}, kIgnored, kUnsupported);
}

void add_generate_legacy_keys(FieldList& fields) {
  static const Ignored kIgnored[] = {
      {"generation is built in; there is no server", {"vllm_server_url", "client_replicas", "timeout", "retries"}},
      {"the output is a local folder, and nothing is uploaded", {"private"}, true},
  };
  add(fields, {}, kIgnored, {});
}

}  // namespace r1::config
