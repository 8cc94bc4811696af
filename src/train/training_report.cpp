#include "train/training_report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <ctime>

#include "base/profile.h"
#include "base/strings.h"
#include "config/loader.h"

namespace r1::train {
namespace {

// First and last value of a metric, for "0.41, from 3.9 at step 1".
struct Change {
  double first = 0, last = 0;
  std::int64_t first_step = 0;
  bool found = false;
};

Change change_of(const std::vector<report::LoggedRow>& history, const std::string& metric) {
  Change change;
  for (const report::LoggedRow& row : history) {
    const auto value = row.values.number(metric);
    if (!value) continue;
    if (!change.found) {
      change.first = *value;
      change.first_step = row.step;
      change.found = true;
    }
    change.last = *value;
  }
  return change;
}

report::Table time_by_zone() {
  report::Table table{"Time by zone",
                      "Share of the main thread's time in each op, without the zones inside it.",
                      {"zone", "seconds", "calls", "share"},
                      {}};
  double total = 0;
  const auto zones = profile::totals();
  for (const auto& zone : zones) total += zone.seconds;
  for (const auto& zone : zones) {
    table.rows.push_back(
        {zone.name, fmt::format("{:.3f}", zone.seconds), std::to_string(zone.calls), fmt::format("{:.1f} %", 100 * zone.seconds / total)});
  }
  return table;
}

}  // namespace

std::string run_subtitle(const std::string& program) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  const std::time_t now = std::time(nullptr);
  char date[64];
  std::tm local{};
  localtime_r(&now, &local);
  std::strftime(date, sizeof date, "%Y-%m-%d %H:%M", &local);
  return fmt::format("{}, host {}, {}", date, host, config::version_text(program));
}

void TrainingReport::write(const std::string& path, const std::vector<report::LoggedRow>& history, const TrainResult& result) const {
  report::HtmlReport page;
  const config::ConfigRow* model = config_.row("model_name_or_path");
  const config::ConfigRow* data = config_.row("dataset_name");
  page.title = fmt::format("{} · {} on {}", kind_, model != nullptr ? model->value : "", data != nullptr ? data->value : "");
  page.subtitle = run_subtitle("r1_train");
  if (const Change loss = change_of(history, "loss"); loss.found) {
    page.headline.push_back({"loss", fmt::format("{:.4f}", loss.last), fmt::format("from {:.4f} at step {}", loss.first, loss.first_step)});
  }
  if (const Change loss = change_of(history, "eval_loss"); loss.found) {
    page.headline.push_back(
        {"evaluation loss", fmt::format("{:.4f}", loss.last), fmt::format("from {:.4f} at step {}", loss.first, loss.first_step)});
  }
  for (const auto& [metric, label] : {std::pair("reward", "reward"), std::pair("eval_reward", "evaluation reward"),
                                      std::pair("completions/mean_length", "tokens of a completion")}) {
    if (const Change change = change_of(history, metric); change.found) {
      page.headline.push_back(
          {label, fmt::format("{:.3f}", change.last), fmt::format("from {:.3f} at step {}", change.first, change.first_step)});
    }
  }
  page.headline.push_back({"steps", std::to_string(result.global_step), format_seconds(result.train_runtime)});
  page.headline.push_back({"tokens/s", fmt::format("{:.0f}", result.tokens_per_second),
                           fmt::format("{:.0f} % of the peak measured here", 100 * result.mean_fraction_of_peak)});
  page.headline.push_back({"first step", format_seconds(result.first_step_seconds), "after the start of the process"});
  page.notes = notes_;
  page.tables = tables_;
  page.charts = report::charts_of(history);
  if (profile::enabled()) page.tables.push_back(time_by_zone());
  page.completions = completions_;
  for (const config::ConfigRow& row : config_.effective_configuration) page.configuration.push_back({row.key, row.value, row.origin});
  report::write_html_report(path, page);
}

}  // namespace r1::train
