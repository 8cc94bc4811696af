// compute-sanitizer over the cases of our own kernels.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "tools/gpu/programs.h"

namespace r1::gpu {
namespace {

namespace fs = std::filesystem;

/// On the PATH, or of a toolkit that is not on it; empty: nowhere.
std::string sanitizer_path() {
  if (const std::string found = path_of_program("compute-sanitizer"); !found.empty()) return found;
  std::vector<std::string> places;
  std::error_code error;
  for (const auto& folder : fs::directory_iterator("/usr/local", error)) {
    const fs::path file = folder.path() / "bin/compute-sanitizer";
    if (folder.path().filename().string().starts_with("cuda") && fs::exists(file, error)) places.push_back(file.string());
  }
  std::sort(places.begin(), places.end());
  return places.empty() ? "" : places.back();
}

struct Entry {
  const char* name;  // of --ops
  bool has_products = false;
};

/// Entries whose work is in our own kernels; some of them stand around products of cuBLASLt: the gradient of a bias, the rounding to 8
/// bits, the softmax of the head. initcheck leaves those out: cuBLASLt's kernels read padding.
constexpr Entry kEntries[] = {{"rms_norm"},
                              {"rope"},
                              {"attention"},
                              {"kv_cache"},
                              {"swiglu_backward"},
                              {"embedding"},
                              {"log_probs_of_logits"},
                              {"cast"},
                              {"sum_"},
                              {"adamw"},
                              {"sampl"},
                              {"add float32"},
                              {"add bfloat16"},
                              {"scale"},
                              {"fill"},
                              {"copy"},
                              {"linear_backward_weight", true},
                              {"linear_fp8", true},
                              {"linear_swiglu", true},
                              {"linear_cross_entropy", true}};

}  // namespace

SanitizerVerdict sanitizer_verdict(const Child& child) {
  const auto says = [&](const char* text) { return child.output.find(text) != std::string::npos; };
  for (const char* refusal : {"not supported", "Device not supported", "Unsupported"}) {
    if (says(refusal)) return {Outcome::kNotRun, tail_of(child.output.substr(child.output.find(refusal)))};
  }
  if (child.is_out_of_time) return {Outcome::kNotRun, kTimeIsUp};
  std::size_t passed = 0;
  constexpr std::string_view kPassed = "\"outcome\":\"passed\"";
  for (std::size_t at = 0; (at = child.output.find(kPassed, at)) != std::string::npos; at += kPassed.size()) ++passed;
  if (child.succeeded() && says("ERROR SUMMARY: 0 errors") && passed > 0) return {Outcome::kPassed, fmt::format("{} entries", passed)};
  if (child.succeeded() && says("ERROR SUMMARY: 0 errors") && says("\"outcome\":\"not run\"")) {
    return {Outcome::kNotRun, "no entry ran: nothing was looked at"};
  }
  if (child.succeeded() && passed == 0) return {Outcome::kFailed, "no entry passed: " + tail_of(child.output)};
  if (child.succeeded() && !says("ERROR SUMMARY")) return {Outcome::kFailed, "it wrote no summary: " + tail_of(child.output)};
  return {Outcome::kFailed, problem_of(child)};
}

void check_sanitizer(const Places& places, Report& report) {
  const std::string path = sanitizer_path();
  if (path.empty()) {
    return report.line("compute-sanitizer", Outcome::kNotRun, "it is neither on the PATH nor in /usr/local/cuda*/bin");
  }
  for (const char* tool : {"memcheck", "racecheck", "initcheck"}) {
    for (const Entry& entry : kEntries) {
      if (entry.has_products && std::string_view(tool) == "initcheck") continue;
      const std::string name = fmt::format("{} {}", tool, entry.name);
      if (places.budget->is_up()) {
        report.line(name, Outcome::kNotRun, kTimeIsUp);
        continue;
      }
      Program program{"gpu_check", {"--child", "parity", "--own", "--ops", entry.name}};
      program.prefix = fmt::format("{} --tool {} --error-exitcode 9 ", quoted(path), tool);
      program.seconds = 180;  // memory is checked some ten times slower than it is used
      const SanitizerVerdict verdict = sanitizer_verdict(run_program(places, program));
      report.line(name, verdict.outcome, verdict.text);
    }
  }
}

}  // namespace r1::gpu
