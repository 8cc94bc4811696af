#include "tools/gpu/programs.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::vector<double> losses_of(const std::string& folder) {
  std::vector<double> losses;
  const std::string text = read_file(folder + "/metrics.jsonl");
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const Json row = parse_json(text.substr(begin, end - begin), folder + "/metrics.jsonl");
    if (row.contains("loss")) losses.push_back(row["loss"].get<double>());
    begin = end + 1;
  }
  return losses;
}

/// Largest relative difference of two lists of losses; infinite when their lengths differ or one is empty.
double difference_of(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size() || a.empty()) return HUGE_VAL;
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double one = std::abs(a[i] - b[i]) / (1e-6 + std::abs(b[i]));
    largest = std::isnan(one) ? HUGE_VAL : std::max(largest, one);
  }
  return largest;
}

class Programs {
 public:
  Programs(const Places& places, Report& report) : places_(places), report_(report) {}

  void run() {
    report_.section("programs on the device beside the CPU");
    const Child made = run_program(places_, "r1_inspect",
                                   {"init-model", "--config", places_.root + "/recipes/tiny/config.json", "--tokenizer",
                                    places_.root + "/assets/chain", "--output", model(), "--init", "scaled", "--embedding_std", "0.1"});
    if (made.exit_code != 0) return report_.line("a tiny model", Outcome::kFailed, tail_of(made.output));
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
    const Child done = run_program(places_, "r1_train", training(name, device, arguments));
    if (done.exit_code != 0) report_.line("training on " + device, Outcome::kFailed, tail_of(done.output));
    return done.exit_code == 0;
  }

  void training_in(const std::string& dtype, const std::string& flag, double tolerance) {
    const std::vector<std::string> sft = {"sft", "--per_device_train_batch_size=4", flag};
    if (!train("cuda", "cuda", sft)) return;
    compare_losses("training in " + dtype + ": losses of four steps", "cuda", "cpu", tolerance);
    if (train("again", "cuda", sft)) {
      const bool same = read_file(folder("cuda") + "/model.safetensors") == read_file(folder("again") + "/model.safetensors");
      report_.line("training in " + dtype + ": the same bytes twice", same ? Outcome::kPassed : Outcome::kFailed,
                   same ? "model.safetensors" : "two runs with one seed gave two models");
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
    if (!is_on_path("mpirun")) return report_.line(what, Outcome::kNotRun, "no mpirun");
    auto sharded = two;
    sharded.insert(sharded.end(), {"--accelerate_config", places_.root + "/accelerate_configs/zero3.yaml"});
    const Child done = run_program(places_, "r1_train", training("ranks", "cuda", sharded),
                                   launcher() + "\"$(command -v mpirun)\" --allow-run-as-root --oversubscribe -n 2 ");
    if (done.exit_code != 0) return report_.line(what, Outcome::kFailed, tail_of(done.output));
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
    const Child done = run_program(places_, "r1_generate", arguments);
    std::vector<std::string> rows;
    if (done.exit_code != 0) {
      report_.line(what, Outcome::kFailed, tail_of(done.output));
      return rows;
    }
    const std::string text = read_file(out + "/part-00000.jsonl");
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      rows.push_back(to_json_line(parse_json(text.substr(begin, end - begin), out)["generations"]));
      begin = end + 1;
    }
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

Child run_program(const Places& places, const std::string& program, const std::vector<std::string>& arguments, const std::string& prefix,
                  const std::string& input) {
  const std::string own = places.bin + "/" + program;
  std::string line = "exec " + prefix;
  if (program == "gpu_check") line += launcher();  // the package's other programs are scripts that put it in themselves
  line += quoted(fs::exists(own) ? own : program);
  for (const std::string& argument : arguments) line += " " + quoted(argument);
  line += " 2>&1 <" + quoted(input);
  Child child;
  FILE* pipe = ::popen(line.c_str(), "r");
  if (pipe == nullptr) return child;
  char piece[4096];
  for (std::size_t count = 0; (count = std::fread(piece, 1, sizeof piece, pipe)) > 0;) child.output.append(piece, count);
  const int status = ::pclose(pipe);
  child.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return child;
}

std::string launcher() {
  const char* words = std::getenv("R1_LAUNCHER");
  return words != nullptr && *words != '\0' ? std::string(words) + " " : "";
}

bool is_on_path(const std::string& program) { return std::system(("command -v " + quoted(program) + " >/dev/null 2>&1").c_str()) == 0; }

std::string tail_of(const std::string& output) {
  std::string text = output.size() > 400 ? "…" + output.substr(output.size() - 400) : output;
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

void check_programs(const Places& places, Report& report) { Programs(places, report).run(); }

void check_sanitizer(const Places& places, Report& report) {
  report.section("compute-sanitizer over our own kernels");
  if (!is_on_path("compute-sanitizer")) return report.line("compute-sanitizer", Outcome::kNotRun, "it is not on the PATH");
  for (const char* tool : {"memcheck", "racecheck", "initcheck"}) {
    for (const char* op :
         {"rms_norm", "rope", "attention", "kv_cache", "swiglu", "embedding", "log_probs", "cast", "sum_", "adamw", "sampl"}) {
      const Child done = run_program(places, "gpu_check", {"--only", "parity", "--ops", op, "--output", places.work + "/sanitizer"},
                                     fmt::format("compute-sanitizer --tool {} --error-exitcode 9 ", tool));
      report.line(fmt::format("{} {}", tool, op), done.exit_code == 0 ? Outcome::kPassed : Outcome::kFailed,
                  done.exit_code == 0 ? "" : tail_of(done.output));
    }
  }
}

}  // namespace r1::gpu
