#include "tools/gpu/goals.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "tools/gpu/speed.h"

namespace r1::gpu {
namespace {

/// Measured rows of a section, at full size.
std::vector<Json> measured(const Json& report, const char* section) {
  std::vector<Json> rows;
  for (const Json& row : report.value(section, Json::array())) {
    if (row.value("outcome", "") == name_of(Outcome::kMeasured) && !row.value("quick", false)) rows.push_back(row);
  }
  return rows;
}

/// The largest number under `key`; 0 without one.
double best_of(const std::vector<Json>& rows, const char* key, const std::function<bool(const Json&)>& counts) {
  double best = 0;
  for (const Json& row : rows) {
    if (counts(row) && row.contains(key) && row[key].is_number()) best = std::max(best, row[key].get<double>());
  }
  return best;
}

bool is_training(const Json& row) { return row.value("work", "") == "training"; }

class Goals {
 public:
  explicit Goals(Report& report)
      : report_(report), steps_(measured(report.json(), kStepsSection)), pytorch_(measured(report.json(), kPytorchSection)) {
    for (const Json& row : measured(report.json(), kCeilingsSection)) {
      if (row.value("name", "") == "copy") copy_ = row.value("bytes_per_second", 0.0);
    }
  }

  void run() {
    training();
    decoding(1, 0.75);
    decoding(256, 0.60);
    memory_bound_ops();
  }

 private:
  static constexpr double kMfu = 0.55, kRatio = 1.5, kShareOfCopy = 0.85;

  void tell(const std::string& name, bool is_known, double found, double goal, const std::string& text) {
    if (!is_known) return report_.line(name, Outcome::kNotMeasured, text, {{"goal", goal}});
    report_.line(name, found >= goal ? Outcome::kMet : Outcome::kMissed, text, {{"goal", goal}, {"measured", found}});
  }

  void training() {
    const double mfu = best_of(steps_, "mfu_data_sheet", is_training);
    tell("SFT, 1.5 B, 4,096 tokens: MFU of the data sheet >= 55 %", mfu > 0, mfu, kMfu,
         mfu > 0 ? fmt::format("{:.1f} %, the best of the recomputes", 100 * mfu) : "no training step, or no data sheet of this device");
    const double ours = best_of(steps_, "tokens_per_second", is_training), theirs = best_of(pytorch_, "tokens_per_second", is_training);
    const bool is_known = ours > 0 && theirs > 0;
    tell("SFT, 1.5 B, 4,096 tokens: >= 1.5 x transformers", is_known, is_known ? ours / theirs : 0, kRatio,
         is_known ? fmt::format("{:.2f} x: {:.0f} and {:.0f} tokens/s, the best of each", ours / theirs, ours, theirs)
                  : "one side is missing");
  }

  void decoding(int batch, double goal) {
    const double bandwidth = best_of(steps_, "bytes_per_second", [&](const Json& row) {
      return row.value("work", "") == "decoding" && row.value("batch", 0) == batch && row.value("storage", "") == "bfloat16" &&
             row.value("mode", "") == "";
    });
    const bool is_known = bandwidth > 0 && copy_ > 0;
    const double share = is_known ? bandwidth / copy_ : 0;
    tell(fmt::format("decoding, bfloat16, batch {}: >= {:.0f} % of the copy", batch, 100 * goal), is_known, share, goal,
         is_known ? fmt::format("{:.1f} %", 100 * share) : "no such step, or no rate of the copy");
  }

  void memory_bound_ops() {
    std::vector<std::string> missed;
    double least = 0;
    int count = 0;
    for (const Json& row : measured(report_.json(), kOpsSection)) {
      if (!row.value("is_memory_bound", false) || copy_ <= 0) continue;
      const double share = row.value("bytes_per_second", 0.0) / copy_;
      least = count++ == 0 ? share : std::min(least, share);
      if (share < kShareOfCopy) missed.push_back(fmt::format("{} {:.0f} %", row.value("name", "?"), 100 * share));
    }
    const std::string text = count == 0       ? "no op, or no rate of the copy"
                             : missed.empty() ? fmt::format("all {}, the least {:.1f} %", count, 100 * least)
                                              : fmt::format("{} of {} miss: {}", missed.size(), count, fmt::join(missed, ", "));
    tell("ops bound by memory: each >= 85 % of the copy", count > 0, least, kShareOfCopy, text);
  }

  Report& report_;
  std::vector<Json> steps_, pytorch_;
  double copy_ = 0;
};

}  // namespace

void report_goals(Report& report) {
  report.section(kGoalsSection);
  Goals(report).run();
}

}  // namespace r1::gpu
