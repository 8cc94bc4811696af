// Steps of a whole model, by the programs themselves.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "tools/gpu/machine.h"
#include "tools/gpu/speed.h"
#include "tools/gpu/speed_model.h"

namespace r1::gpu {
namespace {

constexpr int kExitMemory = 7;    // exit_code(ErrorKind::kMemory)
constexpr double kSeconds = 180;  // a program reads 3 GB, and training writes them

/// How much the backward pass computes again.
struct Recompute {
  const char* name;
  std::vector<std::string> arguments;
};

double number(const Json& row, const char* key) { return row.contains(key) && row[key].is_number() ? row[key].get<double>() : NAN; }

class Speeds {
 public:
  Speeds(const Places& places, bool quick, Report& report)
      : places_(places), ceilings_(ceilings_of(report.json())), model_(speed_model(quick)), quick_(quick), report_(report) {
    const Json about = report.json().value("about", Json::object());
    sheet_ = data_sheet_of(about.value("device", ""));
    without_cudnn_ = about.value("no_cudnn_because", "");
    for (const Json& library : report.json().value("missing", Json::array())) {
      if (library == "cuDNN") without_cudnn_ = "no libcudnn";
    }
  }

  void run() {
    make_speed_inputs(places_, quick_);
    for (const Recompute& recompute :
         {Recompute{"full recompute", {"--gradient_checkpointing"}},
          Recompute{"selective recompute", {"--gradient_checkpointing", "--recompute_granularity", "selective"}},
          Recompute{"no recompute", {}}}) {
      training(recompute);
    }
    for (const DecodeMode& mode :
         {DecodeMode{"bfloat16", ""}, DecodeMode{"bfloat16", "enforce_eager"}, DecodeMode{"bfloat16", "batch_invariant"},
          DecodeMode{"bfloat16", "no_early_launch", "R1_CUDA_EARLY_LAUNCH=0"}, DecodeMode{"float8_e4m3fn", ""}}) {
      decoding(mode);
    }
    grpo();
  }

 private:
  struct DecodeMode {
    const char *storage, *key;  // key of the job, "" = none
    const char* environment = "";
  };

  std::string path(const std::string& name) const { return places_.work + "/" + name; }

  // Training.

  void training(const Recompute& recompute) {
    const std::string name = fmt::format("SFT step, sequences of {}, {}", model_.length, recompute.name);
    for (std::int64_t batch = speed_batch(quick_); batch > 0; batch /= 2) {
      const Child done = train_at(recompute, batch);
      if (done.succeeded()) return report_training(name, recompute, batch, done.output);
      const bool has_no_room = done.exit_code == kExitMemory || done.output.find("out of memory") != std::string::npos;
      if (!has_no_room || batch == 1) return report_failed_child(report_, name, done);
    }
  }

  Child train_at(const Recompute& recompute, std::int64_t batch) const {
    std::filesystem::remove_all(path("speed_sft"));
    std::vector<std::string> arguments = {"sft",
                                          "--model_name_or_path",
                                          speed_model_folder(places_),
                                          "--dataset_name",
                                          speed_rows(places_, batch),
                                          "--output_dir",
                                          path("speed_sft"),
                                          "--overwrite_output_dir",
                                          "--max_steps=6",
                                          "--logging_steps=1",
                                          "--save_strategy=no",
                                          "--bf16",
                                          "--per_device_train_batch_size",
                                          std::to_string(batch),
                                          "--max_length",
                                          std::to_string(model_.length),
                                          "--device",
                                          "cuda"};
    arguments.insert(arguments.end(), recompute.arguments.begin(), recompute.arguments.end());
    Program program{"r1_train", arguments};
    program.seconds = kSeconds;
    return run_program(places_, program);
  }

  void report_training(const std::string& name, const Recompute& recompute, std::int64_t batch, const std::string& output) {
    std::vector<double> rates, losses;
    for (const Json& row : json_lines_of_file(path("speed_sft") + "/metrics.jsonl")) {
      if (!row.contains("tokens_per_second")) continue;
      losses.push_back(number(row, "loss"));
      if (losses.size() > 2) rates.push_back(number(row, "tokens_per_second"));
    }
    if (rates.empty()) return report_.line(name, Outcome::kFailed, "metrics.jsonl has no step behind the second");
    for (const double loss : losses) {
      if (!std::isfinite(loss)) return report_.line(name, Outcome::kFailed, "a loss is not finite");
    }
    const double rate = median(rates), flops = rate * model_.training_flops_per_token();
    const std::string attention = attention_that_served(output);
    std::string text = fmt::format("batch {}: {:.0f} tokens/s, {:.1f} TFLOP/s", batch, rate, flops * 1e-12);
    if (ceilings_.matmul_flops > 0) text += fmt::format(", {:.1f} % of the matrix product", 100 * flops / ceilings_.matmul_flops);
    Json details = {{"work", "training"}, {"recompute", recompute.name},  {"batch", batch},         {"tokens_per_second", rate},
                    {"flops", flops},     {"first_loss", losses.front()}, {"attention", attention}, {"quick", quick_}};
    if (sheet_) {
      details["mfu_data_sheet"] = flops / sheet_->bf16_flops;
      text += fmt::format(", MFU {:.1f} % of {:.1f} TFLOP/s ({}'s data sheet)", 100 * flops / sheet_->bf16_flops,
                          sheet_->bf16_flops * 1e-12, sheet_->name);
    }
    report_.line(name, Outcome::kMeasured, text + "; attention: " + attention, details);
  }

  /// The module says once when cuDNN does not serve; it is silent when it does.
  std::string attention_that_served(const std::string& output) const {
    for (const char* notice : {"training uses our own kernels", "our own kernels are used"}) {
      if (output.find(notice) != std::string::npos) return "our own kernels";
    }
    return without_cudnn_.empty() ? "cuDNN" : "our own kernels (" + without_cudnn_ + ")";
  }

  // Decoding: one process for each mode, so that a crash of one leaves the others.

  struct DecodeJob {
    int batch;
    std::int64_t new_tokens;
  };
  std::vector<DecodeJob> decode_jobs() const {
    if (quick_) return {{1, 12}, {32, 8}, {256, 8}};
    return {{1, 512}, {32, 256}, {256, 256}};
  }

  void decoding(const DecodeMode& mode) {
    const std::int64_t prompt = quick_ ? 8 : 128;
    std::string jobs;
    for (const DecodeJob& job : decode_jobs()) {
      for (const std::int64_t count : {std::int64_t{4}, job.new_tokens}) {  // once to warm up
        Json line = {{"prompt_lengths", std::vector<std::int64_t>(static_cast<std::size_t>(job.batch), prompt)},
                     {"new_tokens", std::vector<std::int64_t>(static_cast<std::size_t>(job.batch), count)},
                     {"resident", job.batch},
                     {"kv_cache_gib", quick_ ? 0.03 : 16.0}};
        if (*mode.key != '\0' && *mode.environment == '\0') line[mode.key] = true;
        jobs += to_json_line(line) + "\n";
      }
    }
    write_file_atomically(path("jobs.jsonl"), jobs);
    Program program{"bench_generate", {speed_model_folder(places_), "1", mode.storage, "cuda"}};
    program.environment = mode.environment;
    program.input = path("jobs.jsonl");
    program.seconds = kSeconds;
    const Child done = run_program(places_, program);
    const std::vector<Json> results = json_lines(done.output);
    for (std::size_t i = 0; i < decode_jobs().size(); ++i) {
      const DecodeJob job = decode_jobs()[i];
      const std::string name =
          fmt::format("decoding, {}, batch {}{}", mode.storage, job.batch, *mode.key != '\0' ? std::string(", --") + mode.key : "");
      if (results.size() > 2 * i + 1) {
        report_decoding(name, mode, job, results[2 * i + 1]);
      } else {
        report_failed_child(report_, name, done);
      }
    }
  }

  void report_decoding(const std::string& name, const DecodeMode& mode, const DecodeJob& job, const Json& result) {
    if (result.contains("error")) {
      const std::string error = result["error"].dump(-1, ' ', false, Json::error_handler_t::replace);
      const bool is_refused = error.find("need compute capability") != std::string::npos;  // 8 bits on an older device
      return report_.line(name, is_refused ? Outcome::kNotRun : Outcome::kFailed, error);
    }
    const double rate = number(result, "decode_tokens_per_s"), bandwidth = number(result, "decode_bytes_per_s");
    const auto steps = result.value("decode_steps", std::int64_t{0}), replayed = result.value("replayed_steps", std::int64_t{0}),
               all = result.value("steps", std::int64_t{0});
    if (steps == 0 || !std::isfinite(rate) || !std::isfinite(bandwidth)) {
      return report_.line(name, Outcome::kFailed, "no step in which all sequences decode");
    }
    std::string text = fmt::format("{:.0f} tokens/s, {:.0f} GB/s of weights and cache", rate, bandwidth * 1e-9);
    if (ceilings_.copy_bytes_per_second > 0) text += fmt::format(", {:.1f} % of copy", 100 * bandwidth / ceilings_.copy_bytes_per_second);
    text += fmt::format("; median of {} steps; {} of {} steps replayed", steps, replayed, all);
    report_.line(name, Outcome::kMeasured, text,
                 {{"work", "decoding"},
                  {"storage", mode.storage},
                  {"mode", mode.key},
                  {"batch", job.batch},
                  {"tokens_per_second", rate},
                  {"bytes_per_second", bandwidth},
                  {"decode_steps", steps},
                  {"replayed_steps", replayed},
                  {"quick", quick_}});
  }

  // GRPO.

  void grpo() {
    const std::string name = quick_ ? "GRPO step, 8 completions of 12" : "GRPO step, 64 completions of 512";
    const Child done = run_program(places_, {"r1_train",
                                             {"grpo",
                                              "--model_name_or_path",
                                              speed_model_folder(places_),
                                              "--dataset_name",
                                              "builtin/chain",
                                              "--dataset_prompt_column=prompt",
                                              "--output_dir",
                                              path("speed_grpo"),
                                              "--overwrite_output_dir",
                                              "--max_steps=4",
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
                                              "cuda"}});
    if (!done.succeeded()) return report_failed_child(report_, name, done);
    std::map<std::string, std::vector<double>> parts;
    std::size_t num_steps = 0;
    for (const Json& row : json_lines_of_file(path("speed_grpo") + "/metrics.jsonl")) {
      if (!row.contains("step_seconds") || num_steps++ == 0) continue;  // the first one warms up
      if (!std::isfinite(number(row, "loss"))) return report_.line(name, Outcome::kFailed, "a loss is not finite");
      const double seconds = number(row, "step_seconds"),
                   training = number(row, "time/train_seconds") + number(row, "time/logprob_seconds");
      parts["step"].push_back(seconds);
      parts["rollout"].push_back(number(row, "time/rollout_seconds"));
      parts["training"].push_back(training);
      parts["rollout tokens"].push_back(number(row, "rollout/tokens_per_second"));
      parts["training tokens"].push_back(number(row, "tokens_per_second") * seconds / training);
    }
    if (parts["step"].size() < 3) return report_.line(name, Outcome::kFailed, "metrics.jsonl has fewer than three steps behind the first");
    for (auto& [part, values] : parts) {
      if (!std::isfinite(median(values))) return report_.line(name, Outcome::kFailed, "metrics.jsonl has no number for: " + part);
    }
    report_.line(
        name, Outcome::kMeasured,
        fmt::format("{:.2f} s: rollout {:.2f} s at {:.0f} tokens/s, log-probs and training {:.2f} s at {:.0f} tokens/s; median of {}",
                    median(parts["step"]), median(parts["rollout"]), median(parts["rollout tokens"]), median(parts["training"]),
                    median(parts["training tokens"]), parts["step"].size()),
        {{"work", "grpo"},
         {"step_seconds", median(parts["step"])},
         {"rollout_seconds", median(parts["rollout"])},
         {"training_seconds", median(parts["training"])},
         {"rollout_tokens_per_second", median(parts["rollout tokens"])},
         {"training_tokens_per_second", median(parts["training tokens"])},
         {"quick", quick_}});
  }

  const Places& places_;
  Ceilings ceilings_;
  SpeedModel model_;
  bool quick_;
  Report& report_;
  std::optional<DataSheet> sheet_;
  std::string without_cudnn_;
};

}  // namespace

void measure_programs(const Places& places, bool quick, Report& report) {
  report.section(kStepsSection);
  Speeds(places, quick, report).run();
}

}  // namespace r1::gpu
