// Steps of a whole model, by the programs themselves.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/files.h"
#include "base/rng.h"
#include "tools/gpu/speed.h"

namespace r1::gpu {
namespace {

struct Model {
  std::int64_t hidden_size, intermediate_size, num_layers, num_heads, num_key_value_heads, vocab_size, length;
  std::int64_t parameters() const {
    const std::int64_t head_dim = hidden_size / num_heads, kv = num_key_value_heads * head_dim;
    const std::int64_t layer =
        2 * hidden_size * hidden_size + 2 * hidden_size * kv + hidden_size + 2 * kv + 3 * hidden_size * intermediate_size + 2 * hidden_size;
    return vocab_size * hidden_size + num_layers * layer + hidden_size;
  }
  /// Forward and backward of one token: 6 per parameter (the tied embedding once, as the head), and causal attention over `length`.
  double training_flops_per_token() const {
    return 6.0 * static_cast<double>(parameters()) + 6.0 * static_cast<double>(num_layers * hidden_size * length);
  }
  /// Of one token of context, keys and values of all layers.
  double cache_bytes_per_token(double element_bytes) const {
    return 2.0 * element_bytes * static_cast<double>(num_layers * num_key_value_heads * (hidden_size / num_heads));
  }
};

constexpr Model kQwen15 = {1536, 8960, 28, 12, 2, 151936, 4096}, kQuick = {128, 384, 3, 4, 2, 264, 64};

std::vector<Json> rows_of(const std::string& path) {
  std::vector<Json> rows;
  const std::string text = read_file(path);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (text[begin] == '{') rows.push_back(parse_json(text.substr(begin, end - begin), path));
    begin = end + 1;
  }
  return rows;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class Speeds {
 public:
  Speeds(const Places& places, const Ceilings& ceilings, bool quick, Report& report)
      : places_(places), ceilings_(ceilings), model_(quick ? kQuick : kQwen15), quick_(quick), report_(report) {}

  void run() {
    report_.section(
        fmt::format("steps of a model with {:.2f} M parameters, random weights", static_cast<double>(model_.parameters()) * 1e-6));
    if (!make_inputs()) return;
    training();
    decoding();
    grpo();
    pytorch();
  }

 private:
  std::string path(const std::string& name) const { return places_.work + "/" + name; }

  bool make_inputs() {
    const Json config = {{"architectures", {"Qwen2ForCausalLM"}},
                         {"model_type", "qwen2"},
                         {"vocab_size", model_.vocab_size},
                         {"hidden_size", model_.hidden_size},
                         {"intermediate_size", model_.intermediate_size},
                         {"num_hidden_layers", model_.num_layers},
                         {"num_attention_heads", model_.num_heads},
                         {"num_key_value_heads", model_.num_key_value_heads},
                         {"hidden_act", "silu"},
                         {"max_position_embeddings", 2 * model_.length},
                         {"rms_norm_eps", 1e-6},
                         {"rope_theta", 1e6},
                         {"tie_word_embeddings", true},
                         {"eos_token_id", 257},
                         {"pad_token_id", 256},
                         {"torch_dtype", "bfloat16"}};
    write_file_atomically(path("speed_config.json"), config.dump(1));
    std::string rows;
    RandomStream random(1, "gpu_check rows");
    for (int row = 0; row < 8; ++row) {
      Json ids = Json::array();
      for (std::int64_t i = 0; i < model_.length; ++i) ids.push_back(random.below(static_cast<std::uint64_t>(model_.vocab_size)));
      rows += to_json_line({{"input_ids", ids}}) + "\n";
    }
    write_file_atomically(path("rows.jsonl"), rows);
    const Child made = run_program(places_, "r1_inspect",
                                   {"init-model", "--config", path("speed_config.json"), "--tokenizer", places_.root + "/assets/chain",
                                    "--output", path("speed_model"), "--init", "normal"});
    if (made.exit_code != 0) report_.line("the model", Outcome::kFailed, tail_of(made.output));
    return made.exit_code == 0;
  }

  void training() {
    const std::string name = fmt::format("SFT step, sequences of {}", model_.length);
    const std::int64_t batch = quick_ ? 2 : 4;
    const Child done = run_program(
        places_, "r1_train",
        {"sft", "--model_name_or_path", path("speed_model"), "--dataset_name", path("rows.jsonl"), "--output_dir", path("speed_sft"),
         "--overwrite_output_dir", "--max_steps=6", "--logging_steps=1", "--save_strategy=no", "--bf16", "--gradient_checkpointing",
         "--per_device_train_batch_size", std::to_string(batch), "--max_length", std::to_string(model_.length), "--device", "cuda"});
    if (done.exit_code != 0) return report_.line(name, Outcome::kFailed, tail_of(done.output));
    std::vector<double> rates;
    for (const Json& row : rows_of(path("speed_sft") + "/metrics.jsonl")) {
      if (row.contains("tokens_per_second") && row["step"] > 2) rates.push_back(row["tokens_per_second"]);
    }
    const double rate = median(rates), flops = rate * model_.training_flops_per_token();
    std::string text = fmt::format("{:.0f} tokens/s, {:.1f} TFLOP/s", rate, flops * 1e-12);
    if (ceilings_.matmul_flops > 0) text += fmt::format(", {:.1f} % of the matrix product", 100 * flops / ceilings_.matmul_flops);
    text += fmt::format(", MFU {:.1f} % of 989.5 TFLOP/s (H100 and H200's data sheet)", 100 * flops / 989.5e12);
    report_.line(name, Outcome::kMeasured, text, {{"tokens_per_second", rate}, {"flops", flops}, {"mfu_data_sheet", flops / 989.5e12}});
    sft_rate_ = rate;
  }

  void decoding() {
    const std::int64_t prompt = quick_ ? 8 : 128, new_tokens = quick_ ? 8 : 256;
    struct Run {
      int batch;
      const char* mode;  // a key of the job, "" = none
    };
    std::vector<Run> runs;
    for (const int batch : {1, 32, 256}) {
      for (const char* mode : {"", "enforce_eager", "batch_invariant"}) runs.push_back({batch, mode});
    }
    std::string jobs;
    for (const Run& run : runs) {
      for (const std::int64_t count : {std::int64_t{4}, new_tokens}) {  // once to warm up
        Json job = {{"prompt_lengths", std::vector<std::int64_t>(static_cast<std::size_t>(run.batch), prompt)},
                    {"new_tokens", std::vector<std::int64_t>(static_cast<std::size_t>(run.batch), count)},
                    {"resident", run.batch},
                    {"kv_cache_gib", quick_ ? 0.03 : 16.0}};
        if (*run.mode != '\0') job[run.mode] = true;
        jobs += to_json_line(job) + "\n";
      }
    }
    write_file_atomically(path("jobs.jsonl"), jobs);
    const Child done = run_program(places_, "bench_generate", {path("speed_model"), "1", "bfloat16", "cuda"}, "", path("jobs.jsonl"));
    write_file_atomically(path("decode.jsonl"), done.output);
    const std::vector<Json> results = done.exit_code == 0 ? rows_of(path("decode.jsonl")) : std::vector<Json>{};
    if (results.size() != 2 * runs.size()) return report_.line("decoding", Outcome::kFailed, tail_of(done.output));
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const Run& run = runs[i];
      const Json& result = results[2 * i + 1];
      // Without the prefill: the tokens behind the first one, in the time behind the last first token.
      const double seconds = result["seconds"].get<double>() - result["first_token_seconds"].get<double>();
      const double rate = static_cast<double>(run.batch * (new_tokens - 1)) / seconds;
      const double context = static_cast<double>(prompt) + static_cast<double>(new_tokens) / 2;
      const double bytes = result["weight_bytes"].get<double>() + run.batch * context * model_.cache_bytes_per_token(2);
      const double bandwidth = bytes * static_cast<double>(new_tokens - 1) / seconds;
      const std::int64_t replayed = result["replayed_steps"];
      report_.line(
          fmt::format("decoding, bfloat16, batch {}{}", run.batch, *run.mode != '\0' ? std::string(", --") + run.mode : ""),
          Outcome::kMeasured,
          fmt::format("{:.0f} tokens/s, {:.0f} GB/s of weights and cache, {:.1f} % of copy; {} of {} steps replayed", rate,
                      bandwidth * 1e-9, 100 * bandwidth / ceilings_.copy_bytes_per_second, replayed, result["steps"].get<std::int64_t>()),
          {{"tokens_per_second", rate}, {"bytes_per_second", bandwidth}, {"batch", run.batch}, {"replayed_steps", replayed}});
      if (*run.mode == '\0') decode_rates_.push_back(rate);
    }
  }

  void grpo() {
    const std::string name = quick_ ? "GRPO step, 8 completions of 12" : "GRPO step, 64 completions of 512";
    const Child done = run_program(places_, "r1_train",
                                   {"grpo",
                                    "--model_name_or_path",
                                    path("speed_model"),
                                    "--dataset_name",
                                    "builtin/chain",
                                    "--dataset_prompt_column=prompt",
                                    "--output_dir",
                                    path("speed_grpo"),
                                    "--overwrite_output_dir",
                                    "--max_steps=3",
                                    "--logging_steps=1",
                                    "--save_strategy=no",
                                    "--bf16",
                                    "--gradient_checkpointing",
                                    "--reward_funcs=repetition_penalty",
                                    "--repetition_n_grams=1",
                                    "--repetition_max_penalty=-1",
                                    quick_ ? "--per_device_train_batch_size=8" : "--per_device_train_batch_size=64",
                                    "--num_generations=8",
                                    quick_ ? "--max_completion_length=12" : "--max_completion_length=512",
                                    "--device",
                                    "cuda"});
    if (done.exit_code != 0) return report_.line(name, Outcome::kFailed, tail_of(done.output));
    const std::vector<Json> rows = rows_of(path("speed_grpo") + "/metrics.jsonl");
    if (rows.empty()) return report_.line(name, Outcome::kFailed, "no metrics");
    std::string text;
    Json details = Json::object();
    for (const char* part : {"rollout", "reward", "logprob", "train"}) {
      const std::string key = fmt::format("time/{}_seconds", part);
      if (!rows.back().contains(key)) continue;
      details[part] = rows.back()[key];
      text += fmt::format("{}{} {:.2f} s", text.empty() ? "" : ", ", part, rows.back()[key].get<double>());
    }
    report_.line(name, Outcome::kMeasured, text, details);
  }

  void pytorch() {
    const std::string name = "the same in PyTorch";
    // In a package LD_LIBRARY_PATH names our libraries first: not for Python.
    const std::string host = "env ${R1_HOST_LIBRARIES+LD_LIBRARY_PATH=\"$R1_HOST_LIBRARIES\"} ";
    const Child there = run_program(places_, "python3", {"-c", "import torch, transformers; assert torch.cuda.is_available()"}, host);
    if (there.exit_code != 0) return report_.line(name, Outcome::kNotRun, "no python3 with torch, transformers and this device");
    const Child done = run_program(
        places_, "python3",
        {places_.root + "/tools/gpu/transformers_speed.py", path("speed_model"), path("rows.jsonl"), quick_ ? "--quick" : "--full"});
    write_file_atomically(path("pytorch.jsonl"), done.output);
    const std::vector<Json> rows = rows_of(path("pytorch.jsonl"));
    if (done.exit_code != 0 || rows.empty()) return report_.line(name, Outcome::kNotRun, "it failed: " + tail_of(done.output));
    for (const Json& row : rows) {
      const double theirs = row["tokens_per_second"];
      double ours = sft_rate_;
      if (row["work"] == "decoding") {
        const int batch = row["batch"];
        const std::size_t index = batch == 1 ? 0 : batch == 32 ? 1 : 2;
        ours = index < decode_rates_.size() ? decode_rates_[index] : 0;
      }
      report_.line(fmt::format("PyTorch: {}", row["name"].get<std::string>()), Outcome::kMeasured,
                   fmt::format("{:.0f} tokens/s; ours {:.0f}: ratio {:.2f}", theirs, ours, ours / theirs), row);
    }
  }

  const Places& places_;
  Ceilings ceilings_;
  Model model_;
  bool quick_;
  Report& report_;
  double sft_rate_ = 0;
  std::vector<double> decode_rates_;
};

}  // namespace

void measure_programs(const Places& places, const Ceilings& ceilings, bool quick, Report& report) {
  Speeds(places, ceilings, quick, report).run();
}

}  // namespace r1::gpu
