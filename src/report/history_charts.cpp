// Which charts a history of metrics deserves: the known ones in their order, then one for each number left over.
#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "report/html_report.h"

namespace r1::report {
namespace {

struct KnownChart {
  const char* title;
  const char* note;
  const char* y_label;
  std::vector<std::pair<const char*, const char*>> metrics;  // (metric, name in the legend)
  bool smooth = false;
  bool from_zero = false;
  ChartScale y_scale = ChartScale::kLinear;
};

const std::vector<KnownChart>& known_charts() {
  static const std::vector<KnownChart> charts = {
      {"Loss", "", "", {{"loss", "training"}, {"eval_loss", "evaluation"}}, true},
      {"Reward", "mean over the completions of a step", "", {{"reward", "mean"}, {"reward_std", "standard deviation in a group"}}, true},
      {"Divergence from the reference", "mean per token", "nats", {{"kl", "KL"}}, true, true},
      {"Clipped ratio",
       "share of tokens whose update was clipped",
       "",
       {{"clip_ratio", "clipped"}, {"clip_ratio/region_mean", "clipped"}},
       true,
       true},
      {"Entropy", "mean per token", "nats", {{"entropy", "entropy"}}, true},
      {"Groups without a signal", "share whose completions all got the same reward", "", {{"frac_reward_zero_std", "share"}}, true, true},
      {"Rollout against training",
       "largest difference of a token's log-probability",
       "nats",
       {{"rollout_logprob_max_abs_diff", "largest difference"}},
       false,
       true},
      {"Token accuracy",
       "share of labelled tokens that are the likeliest",
       "",
       {{"mean_token_accuracy", "training"}, {"eval_mean_token_accuracy", "evaluation"}},
       true},
      {"Gradient norm", "before clipping", "", {{"grad_norm", "gradient norm"}}, true, true},
      {"Learning rate", "", "", {{"learning_rate", "learning rate"}}, false, true},
      {"Tokens per second", "", "", {{"tokens_per_second", "tokens per second"}}, true, true},
      {"Fraction of peak", "model arithmetic over the device's peak", "", {{"mfu", "fraction"}}, true, true},
  };
  return charts;
}

// Series of all metrics whose names have this beginning and end; what stands between them is the name.
std::vector<Series> series_between(const std::vector<LoggedRow>& history, const std::vector<std::string>& names, std::string_view prefix,
                                   std::string_view suffix, std::set<std::string>& used) {
  std::vector<Series> found;
  for (const std::string& name : names) {
    if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() <= prefix.size() + suffix.size()) continue;
    used.insert(name);
    found.push_back(series_of(history, name, name.substr(prefix.size(), name.size() - prefix.size() - suffix.size())));
  }
  return found;
}

// Every series with the x values of all of them; a step that a series lacks counts as 0 seconds.
void share_x(std::vector<Series>& all) {
  std::set<double> steps;
  for (const Series& series : all) steps.insert(series.x.begin(), series.x.end());
  for (Series& series : all) {
    Series whole{series.name, {steps.begin(), steps.end()}, {}};
    std::size_t at = 0;
    for (const double step : whole.x) {
      const bool has = at < series.x.size() && series.x[at] == step;
      whole.y.push_back(has && std::isfinite(series.y[at]) ? series.y[at] : 0);
      if (has) ++at;
    }
    series = std::move(whole);
  }
}

}  // namespace

Series series_of(const std::vector<LoggedRow>& history, const std::string& metric, std::string name) {
  Series series{name.empty() ? metric : std::move(name), {}, {}};
  for (const LoggedRow& row : history) {
    const std::optional<double> value = row.values.number(metric);
    if (!value) continue;
    series.x.push_back(static_cast<double>(row.step));
    series.y.push_back(*value);
  }
  return series;
}

std::vector<Chart> charts_of(const std::vector<LoggedRow>& history) {
  std::vector<std::string> names;  // in order of first appearance
  std::set<std::string> seen;
  for (const LoggedRow& row : history) {
    for (const auto& [name, value] : row.values.values()) {
      if (!std::holds_alternative<std::string>(value) && seen.insert(name).second) names.push_back(name);
    }
  }
  std::set<std::string> used;
  std::vector<Chart> charts;
  auto add = [&](Chart chart) {
    if (!chart.series.empty()) charts.push_back(std::move(chart));
  };
  for (const KnownChart& known : known_charts()) {
    Chart chart;
    chart.title = known.title;
    chart.note = known.note;
    chart.y_label = known.y_label;
    chart.smooth = known.smooth;
    chart.from_zero = known.from_zero;
    chart.y_scale = known.y_scale;
    for (const auto& [metric, name] : known.metrics) {
      if (!seen.contains(metric)) continue;
      used.insert(metric);
      chart.series.push_back(series_of(history, metric, name));
    }
    add(std::move(chart));
    if (std::string_view(known.title) == "Reward") {
      Chart by_function;
      by_function.title = "Reward by function";
      by_function.smooth = true;
      by_function.series = series_between(history, names, "rewards/", "/mean", used);
      series_between(history, names, "rewards/", "/std", used);  // shown as numbers in metrics.jsonl; here they would crowd the chart
      add(std::move(by_function));

      Chart lengths;
      lengths.title = "Completion length";
      lengths.y_label = "tokens";
      lengths.from_zero = true;
      for (const auto& [metric, name] :
           {std::pair{"completions/mean_length", "mean"}, std::pair{"completions/min_length", "shortest"},
            std::pair{"completions/max_length", "longest"}, std::pair{"completions/mean_terminated_length", "mean of the finished"}}) {
        if (!seen.contains(metric)) continue;
        used.insert(metric);
        lengths.series.push_back(series_of(history, metric, name));
      }
      add(std::move(lengths));
      if (seen.contains("completions/clipped_ratio")) {
        used.insert("completions/clipped_ratio");
        add({.title = "Cut completions",
             .note = "share that reached the length limit",
             .from_zero = true,
             .smooth = true,
             .series = {series_of(history, "completions/clipped_ratio", "cut")}});
      }
    }
  }
  if (seen.contains("peak_memory_bytes")) {
    used.insert("peak_memory_bytes");
    Series peak = series_of(history, "peak_memory_bytes", "peak");
    constexpr double kMiB = 1 << 20, kGiB = 1 << 30;
    const bool large = std::any_of(peak.y.begin(), peak.y.end(), [&](double bytes) { return bytes >= kGiB; });
    for (double& bytes : peak.y) bytes /= large ? kGiB : kMiB;
    add({.title = "Peak memory", .y_label = large ? "GiB" : "MiB", .from_zero = true, .series = {std::move(peak)}});
  }
  Chart time;
  time.title = "Seconds of a step";
  time.y_label = "s";
  time.stacked = true;
  time.series = series_between(history, names, "time/", "_seconds", used);
  share_x(time.series);
  add(std::move(time));
  for (const std::string& name : names) {
    Series series = series_of(history, name);
    // Values logged once are results, not curves.
    if (used.contains(name) || series.x.size() < 2) continue;
    add({.title = name, .smooth = true, .series = {std::move(series)}});
  }
  return charts;
}

}  // namespace r1::report
