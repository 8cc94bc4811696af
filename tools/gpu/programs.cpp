#include "tools/gpu/programs.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>

#include "base/files.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

/// Not finite where a step has no number.
std::vector<double> losses_of(const std::string& folder) {
  std::vector<double> losses;
  for (const Json& row : json_lines_of_file(folder + "/metrics.jsonl")) {
    if (row.contains("loss")) losses.push_back(row["loss"].is_number() ? row["loss"].get<double>() : HUGE_VAL);
  }
  return losses;
}

/// Largest relative difference of two lists of losses; infinite when their lengths differ or one is empty.
double difference_of(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.empty()) return HUGE_VAL;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double one = std::abs(a[i] - b[i]) / (1e-6 + std::abs(b[i]));
    largest = std::isfinite(one) ? std::max(largest, one) : HUGE_VAL;
  }
  return largest;
}

class Programs {
 public:
  Programs(const Places& places, Report& report) : places_(places), report_(report) {}

  void run() {
    report_.section("programs on the device beside the CPU");
    const Child made =
        run_program(places_, {"r1_inspect",
                              {"init-model", "--config", places_.root + "/recipes/tiny/config.json", "--tokenizer",
                               places_.root + "/assets/chain", "--output", model(), "--init", "scaled", "--embedding_std", "0.1"}});
    if (!made.succeeded()) return report_failed_child(report_, "a tiny model", made);
    if (!train("cpu", "cpu", {"sft", "--per_device_train_batch_size=4"})) return;
    training_in("fp32", "--bf16=false", 2e-3);  // sums in another order drift apart over four steps of a large learning rate
    training_in("bf16", "--bf16=true", 3e-2);   // and activations have 8 bits
    generation();
  }

 private:
  std::string folder(const std::string& name) const { return places_.work + "/" + name; }
  std::string model() const { return folder("model"); }

  std::vector<std::string> training(const std::string& name, const std::string& device, std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--model_name_or_path", model(), "--dataset_name", "builtin/chain", "--output_dir", folder(name),
                                       "--overwrite_output_dir", "--max_steps=4", "--logging_steps=1", "--learning_rate=1e-3",
                                       "--save_strategy=no", "--num_threads=1", "--device", device});
    return arguments;
  }

  bool train(const std::string& name, const std::string& device, const std::vector<std::string>& arguments) {
    const Child done = run_program(places_, {"r1_train", training(name, device, arguments)});
    if (!done.succeeded()) report_failed_child(report_, "training on " + device + ": " + name, done);
    return done.succeeded();
  }

  void training_in(const std::string& dtype, const std::string& flag, double tolerance) {
    const std::vector<std::string> sft = {"sft", "--per_device_train_batch_size=4", flag};
    if (!train("cuda", "cuda", sft)) return;
    compare_losses("training in " + dtype + ": losses of four steps", "cuda", "cpu", tolerance);
    if (train("again", "cuda", sft)) {
      const std::string what = "training in " + dtype + ": the same bytes twice", one = "/model.safetensors";
      if (!fs::exists(folder("cuda") + one) || !fs::exists(folder("again") + one)) {
        report_.line(what, Outcome::kFailed, "a run wrote no model.safetensors");
      } else {
        const bool same = read_file(folder("cuda") + one) == read_file(folder("again") + one);
        report_.line(what, same ? Outcome::kPassed : Outcome::kFailed,
                     same ? "model.safetensors" : "two runs with one seed gave two models");
      }
    }
    two_ranks(dtype, sft, {"sft", "--per_device_train_batch_size=8", flag}, tolerance);
  }

  void compare_losses(const std::string& what, const std::string& found, const std::string& expected, double tolerance) {
    const double difference = difference_of(losses_of(folder(found)), losses_of(folder(expected)));
    report_.line(what, difference <= tolerance ? Outcome::kPassed : Outcome::kFailed,
                 fmt::format("largest relative difference {:.2e}", difference), {{"difference", difference}});
  }

  void two_ranks(const std::string& dtype, const std::vector<std::string>& two, const std::vector<std::string>& one, double tolerance) {
    const std::string what = "two ranks on one GPU, ZeRO-3 in " + dtype + " through host memory";
    if (path_of_program("mpirun").empty()) return report_.line(what, Outcome::kNotRun, "no mpirun");
    auto sharded = two;
    sharded.insert(sharded.end(), {"--accelerate_config", places_.root + "/accelerate_configs/zero3.yaml"});
    Program program{"r1_train", training("ranks", "cuda", sharded)};
    program.prefix = launcher() + "\"$(command -v mpirun)\" --allow-run-as-root --oversubscribe -n 2 ";
    const Child done = run_program(places_, program);
    if (!done.succeeded()) return report_failed_child(report_, what, done);
    if (done.output.find("pass through host memory") == std::string::npos)
      return report_.line(what, Outcome::kFailed, "the ranks did not say that they share a GPU");
    if (train("one_rank", "cuda", one)) compare_losses(what, "ranks", "one_rank", tolerance);
  }

  /// The rows that r1_generate writes; none, with a line in the report, when it fails.
  std::vector<std::string> generated(const std::string& what, const std::string& name, const std::vector<std::string>& more) {
    const std::string out = folder("generated_" + name);
    fs::remove_all(out);
    std::vector<std::string> arguments = {"--model",
                                          folder("cpu"),
                                          "--hf-dataset",
                                          "builtin/chain",
                                          "--prompt-column",
                                          "prompt",
                                          "--no-chat-template",
                                          "--max-new-tokens",
                                          "16",
                                          "--max-samples",
                                          "32",
                                          "--hf-output-dataset",
                                          out,
                                          "--output-format",
                                          "jsonl",
                                          "--dtype",
                                          "float32",
                                          "--num_threads",
                                          "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Child done = run_program(places_, {"r1_generate", arguments});
    std::vector<std::string> rows;
    if (!done.succeeded()) {
      report_failed_child(report_, what, done);
      return rows;
    }
    for (const Json& row : json_lines_of_file(out + "/part-00000.jsonl")) {
      if (row.contains("generations")) rows.push_back(to_json_line(row["generations"]));
    }
    if (rows.empty()) report_.line(what, Outcome::kFailed, "r1_generate wrote no row: " + tail_of(done.output));
    return rows;
  }

  void compare_rows(const std::string& what, const std::vector<std::string>& expected, const std::vector<std::string>& found,
                    std::size_t num_different) {
    if (expected.empty() || found.empty()) return;  // said already
    std::size_t same = 0;
    for (std::size_t i = 0; i < std::min(expected.size(), found.size()); ++i) same += expected[i] == found[i];
    const bool is_right = expected.size() == 32 && found.size() == 32 && same + num_different >= 32;
    report_.line(what, is_right ? Outcome::kPassed : Outcome::kFailed, fmt::format("{} of {}", same, expected.size()));
  }

  void generation() {
    const std::string beside_cpu = "greedy generation: rows with the CPU's text",
                      beside_eager = "greedy generation: rows with the text of decode steps that are not replayed";
    const auto cpu = generated(beside_cpu, "cpu", {"--temperature", "0", "--device", "cpu"});
    const auto cuda = generated(beside_cpu, "cuda", {"--temperature", "0", "--device", "cuda"});
    const auto eager = generated(beside_eager, "eager", {"--temperature", "0", "--device", "cuda", "--enforce_eager"});
    // Two nearly equal logits may change places, by the other order of sums, or the other size of a batch: one such row is no fault.
    compare_rows(beside_cpu, cpu, cuda, 1);
    compare_rows(beside_eager, eager, cuda, 1);

    const std::string alone = "--batch_invariant: rows that are generated alone have the text of those in a batch";
    const std::vector<std::string> drawn = {"--temperature", "1", "--device", "cuda", "--batch_invariant"};
    std::vector<std::string> one_by_one = drawn;
    one_by_one.insert(one_by_one.end(), {"--input-batch-size", "1"});
    compare_rows(alone, generated(alone, "batch", drawn), generated(alone, "alone", one_by_one), 0);
  }

  const Places& places_;
  Report& report_;
};

}  // namespace

void check_programs(const Places& places, Report& report) { Programs(places, report).run(); }

}  // namespace r1::gpu
