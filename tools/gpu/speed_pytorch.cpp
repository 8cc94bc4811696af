// The steps of speed_programs.cpp in PyTorch and transformers.
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "base/strings.h"
#include "tools/gpu/speed.h"
#include "tools/gpu/speed_model.h"

namespace r1::gpu {
namespace {

constexpr double kLossTolerance = 2e-2;  // bf16 arithmetic on both sides, in another order

std::string python() {
  const char* chosen = std::getenv("R1_PYTHON");
  return chosen != nullptr && *chosen != '\0' ? chosen : "python3";
}

/// The best of our rows with the same work; nothing: none was measured.
Json ours_like(const Json& report, const Json& theirs) {
  Json best;
  for (const Json& row : report.value(kStepsSection, Json::array())) {
    if (row.value("outcome", "") != name_of(Outcome::kMeasured) || row.value("work", "") != theirs.value("work", "")) continue;
    if (row.value("quick", false) != theirs.value("quick", false)) continue;
    if (row.value("work", "") == "training") {
      // Like with like: with recomputation beside full recompute, without it beside none.
      const bool recomputes = row.value("recompute", "") == "full recompute", theirs_does = theirs.value("recompute", false);
      if (theirs_does ? !recomputes : row.value("recompute", "") != "no recompute") continue;
    } else if (row.value("batch", 0) != theirs.value("batch", 0) || row.value("storage", "") != "bfloat16" || row.value("mode", "") != "") {
      continue;
    }
    best = row;
  }
  return best;
}

void report_row(const Json& row, Report& report) {
  const std::string name = "PyTorch: " + row.value("name", "?");
  Json details = row;
  details.erase("name");
  if (row.contains("error")) return report.line(name, Outcome::kNotRun, row.value("error", ""), details);
  const double theirs = row.value("tokens_per_second", 0.0);
  if (!(theirs > 0)) return report.line(name, Outcome::kFailed, "no tokens per second in " + to_json_line(row));
  const Json ours = ours_like(report.json(), row);
  std::string text = fmt::format("{:.0f} tokens/s", theirs);
  if (row.value("work", "") == "training") text += fmt::format(", batch {}", row.value("batch", 0));
  if (!ours.is_null()) {
    const double rate = ours.value("tokens_per_second", 0.0);
    details["ours"] = rate;
    text += fmt::format("; ours {:.0f}: ratio {:.2f}", rate, rate / theirs);
  }
  report.line(name, Outcome::kMeasured, text, details);
}

/// Before the first update both sides have the same weights and rows.
void check_first_loss(const std::vector<Json>& rows, Report& report) {
  const std::string name = "the first loss of SFT beside PyTorch's";
  for (const Json& row : rows) {
    if (row.value("work", "") != "training" || !row.contains("first_loss") || !row["first_loss"].is_number()) continue;
    for (const Json& ours : report.json().value(kStepsSection, Json::array())) {
      const bool is_same = ours.value("work", "") == "training" && ours.value("batch", 0) == row.value("batch", 0) &&
                           ours.value("quick", false) == row.value("quick", false) && ours.contains("first_loss");
      if (!is_same || !ours["first_loss"].is_number()) continue;
      const double found = ours["first_loss"], expected = row["first_loss"];
      const double difference = std::abs(found - expected) / std::abs(expected);
      return report.line(
          name, difference <= kLossTolerance ? Outcome::kPassed : Outcome::kFailed,
          fmt::format("{:.4f} and {:.4f}: relative difference {:.1e}, tolerance {:.0e}", found, expected, difference, kLossTolerance),
          {{"ours", found}, {"pytorch", expected}});
    }
  }
  report.line(name, Outcome::kNotRun, "one side has no training step of that batch");
}

}  // namespace

void measure_pytorch(const Places& places, bool quick, Report& report) {
  report.section(kPytorchSection);
  const std::string name = "PyTorch and transformers";
  Program probe{
      .name = python(), .arguments = {"-c", "import torch, transformers; assert torch.cuda.is_available()"}, .prefix = host_environment()};
  if (const Child there = run_program(places, probe); !there.succeeded()) {
    return report.line(name, Outcome::kNotRun,
                       there.is_out_of_time
                           ? kTimeIsUp
                           : fmt::format("{} has no torch, transformers and this device (--python FILE): {}", python(), problem_of(there)));
  }
  make_speed_inputs(places, quick);
  const std::string results = places.work + "/pytorch.jsonl";
  Program program{.name = python(),
                  .arguments = {places.root + "/tools/gpu/transformers_speed.py", speed_model_folder(places),
                                speed_rows(places, speed_batch(quick)), results, quick ? "--quick" : "--full"},
                  .prefix = host_environment()};
  program.seconds = 300;
  const Child done = run_program(places, program);
  std::vector<Json> rows = json_lines_of_file(results);
  for (Json& row : rows) {
    if (row.contains("versions")) {
      report.set("about", "pytorch", row["versions"]);
      continue;
    }
    row["quick"] = quick;
    report_row(row, report);
  }
  if (!done.succeeded()) report.line("PyTorch: the rest", Outcome::kNotRun, problem_of(done));
  check_first_loss(rows, report);
}

}  // namespace r1::gpu
