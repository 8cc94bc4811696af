#include "eval/bench_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "config/loader.h"
#include "report/html_report.h"

namespace r1::eval {
namespace {

constexpr std::size_t kShownPerTask = 500;

std::string with_error(const Estimate& estimate) {
  return estimate.standard_error ? fmt::format("{:.4f} ± {:.4f}", estimate.mean, *estimate.standard_error)
                                 : fmt::format("{:.4f}", estimate.mean);
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

std::vector<std::string> score_columns() {
  return {"task", "problems × samples", "pass@1 ± standard error", "majority", "mean tokens", "truncated", "no answer"};
}

std::vector<std::string> score_cells(const PreparedTask& prepared, const TaskScores& scores) {
  return {prepared.task.name,
          fmt::format("{} × {}", scores.num_problems, scores.num_samples),
          with_error(scores.pass_at_1),
          scores.num_samples > 1 ? with_error(scores.consensus) : "–",
          fmt::format("{:.1f}", scores.mean_tokens),
          percent(scores.truncated_share),
          percent(scores.no_answer_share)};
}

/// Columns of a terminal that a text takes; all of ours are one wide.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::vector<std::string> notes_of(const PreparedTask& prepared, const TaskScores& scores) {
  std::vector<std::string> notes;
  const std::string& name = prepared.task.name;
  if (scores.prompts_too_long > 0) {
    notes.push_back(
        fmt::format("{}: {} samples have no answer, because the prompt fills the model's positions.", name, scores.prompts_too_long));
  }
  if (scores.golds_not_found > 0) {
    notes.push_back(fmt::format("{}: in {} gold texts no answer was found; the whole text is compared.", name, scores.golds_not_found));
  }
  if (scores.over_budget > 0) {
    notes.push_back(fmt::format("{}: {} answers were too long or too deep to decide and count as wrong.", name, scores.over_budget));
  }
  return notes;
}

void add_completions(const ScoredTask& scored, const std::string& task, report::HtmlReport& page) {
  for (std::size_t i = 0; i < std::min(kShownPerTask, scored.details.size()); ++i) {
    const Json& row = scored.details[i];
    report::CompletionRecord record;
    record.step = row["row"].get<std::int64_t>();
    record.prompt = row["prompt"].get<std::string>();
    record.completion = row["completion"].get<std::string>();
    record.finish_reason = row["finish_reason"].get<std::string>();
    record.numbers = {{"sample", row["sample"].get<double>()},
                      {"correct", row["correct"].get<bool>() ? 1.0 : 0.0},
                      {"tokens", row["num_tokens"].get<double>()}};
    record.texts = {{"task", task},
                    {"gold", row["gold"].get<std::string>()},
                    {"extracted", row["extracted"].get<std::string>()},
                    {"verdict", row["verdict"].get<std::string>()}};
    page.completions.push_back(std::move(record));
  }
}

report::Chart pass_at_k_chart(const std::vector<PreparedTask>& tasks, const std::vector<ScoredTask>& scored) {
  report::Chart chart{.title = "pass@k", .note = "at least one of k samples is right", .x_label = "k", .from_zero = true};
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (tasks[i].num_samples == 1) continue;
    report::Series series{.name = tasks[i].task.name};
    for (const auto& [k, estimate] : scored[i].scores.pass_at_k) {
      series.x.push_back(k);
      series.y.push_back(estimate.mean);
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

}  // namespace

void print_scores(const std::vector<PreparedTask>& tasks, const std::vector<ScoredTask>& scored) {
  std::vector<std::vector<std::string>> rows{score_columns()};
  for (std::size_t i = 0; i < tasks.size(); ++i) rows.push_back(score_cells(tasks[i], scored[i].scores));
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows)
    for (std::size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], width_of(row[column]));
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::string space(widths[column] - width_of(row[column]), ' ');
      line += column == 0 ? row[column] + space : "  " + space + row[column];
    }
    fmt::print("{}\n", line);
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    for (const std::string& note : notes_of(tasks[i], scored[i].scores)) fmt::print("{}\n", note);
  }
}

void write_bench_report(const config::BenchConfig& config, const std::vector<PreparedTask>& tasks, const std::vector<ScoredTask>& scored,
                        const std::string& timestamp) {
  report::HtmlReport page;
  page.title = fmt::format("Benchmarks · {}", config.model);
  page.subtitle = fmt::format("{}, {}", timestamp, config::version_text("r1_bench"));
  report::Table scores{"Scores", "standard errors are over problems; samples of one problem are one cluster", score_columns(), {}};
  report::Table pass_at{"pass@k", "unbiased estimates", {"task", "k", "pass@k", "standard error"}, {}};
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    const TaskScores& of_task = scored[i].scores;
    page.headline.push_back({tasks[i].task.name, percent(of_task.pass_at_1.mean),
                             of_task.pass_at_1.standard_error ? fmt::format("± {}", percent(*of_task.pass_at_1.standard_error)) : ""});
    scores.rows.push_back(score_cells(tasks[i], of_task));
    for (const auto& [k, estimate] : of_task.pass_at_k) {
      if (of_task.num_samples == 1) break;
      pass_at.rows.push_back({tasks[i].task.name, std::to_string(k), fmt::format("{:.4f}", estimate.mean),
                              estimate.standard_error ? fmt::format("{:.4f}", *estimate.standard_error) : "–"});
    }
    for (std::string& note : notes_of(tasks[i], of_task)) page.notes.push_back(std::move(note));
    add_completions(scored[i], tasks[i].task.name, page);
  }
  page.tables.push_back(std::move(scores));
  if (!pass_at.rows.empty()) {
    page.tables.push_back(std::move(pass_at));
    page.charts.push_back(pass_at_k_chart(tasks, scored));
  }
  page.notes.push_back(fmt::format("The step column is the problem's row; the first {} samples of each task are shown.", kShownPerTask));
  for (const config::ConfigRow& row : config.effective_configuration) page.configuration.push_back({row.key, row.value, row.origin});
  report::write_html_report(config.output_dir + "/report.html", page);
}

}  // namespace r1::eval
