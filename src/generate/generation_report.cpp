#include "generate/generation_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "config/loader.h"
#include "report/html_report.h"

namespace r1::generate {
namespace {

constexpr std::size_t kShownCompletions = 500;

struct Counts {
  std::map<std::string, std::int64_t> by_reason;
  std::vector<std::int64_t> lengths;
  std::int64_t tokens = 0;
};

void count(const SampleRecord& sample, Counts& counts) {
  ++counts.by_reason[sample.finish_reason];
  counts.tokens += static_cast<std::int64_t>(sample.ids.size());
  counts.lengths.push_back(static_cast<std::int64_t>(sample.ids.size()));
}

std::vector<std::pair<std::string, std::string>> summary_rows(Counts& counts, const GenerationSummary& summary) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto num_samples = static_cast<double>(std::max<std::size_t>(counts.lengths.size(), 1));
  rows.emplace_back("samples", std::to_string(counts.lengths.size()));
  for (const auto& [reason, number] : counts.by_reason) {
    rows.emplace_back(reason, fmt::format("{} ({:.1f} %)", number, 100.0 * static_cast<double>(number) / num_samples));
  }
  std::ranges::sort(counts.lengths);
  const auto quantile = [&](double q) {
    return counts.lengths[static_cast<std::size_t>(q * static_cast<double>(counts.lengths.size() - 1))];
  };
  if (!counts.lengths.empty()) {
    rows.emplace_back("tokens a sample",
                      fmt::format("{:.1f} on average, half below {}, nine tenths below {}, at most {}",
                                  static_cast<double>(counts.tokens) / num_samples, quantile(0.5), quantile(0.9), quantile(1)));
  }
  const engine::EngineStats& engine = summary.engine;
  if (engine.steps > 0) {
    rows.emplace_back(summary.num_ranks > 1 ? "new tokens/s, rank 0" : "new tokens/s",
                      fmt::format("{:.0f} ({} tokens in {})", static_cast<double>(engine.decode_tokens) / summary.seconds,
                                  format_count(static_cast<double>(engine.decode_tokens)), format_seconds(summary.seconds)));
    rows.emplace_back(summary.num_ranks > 1 ? "prompt tokens, rank 0" : "prompt tokens",
                      fmt::format("{} computed, {} taken from the cache", format_count(static_cast<double>(engine.prefill_tokens)),
                                  format_count(static_cast<double>(engine.cached_prompt_tokens))));
    rows.emplace_back("batch",
                      fmt::format("{:.1f} sequences on average; {} preemptions",
                                  static_cast<double>(engine.slot_steps - engine.idle_slot_steps) / static_cast<double>(engine.steps),
                                  engine.preemptions));
  }
  return rows;
}

}  // namespace

void write_generation_report(const config::GenerateConfig& config, const SampleGrid& grid, const SampleJournal& journal,
                             const GenerationSummary& summary, const std::function<std::string(std::int64_t row)>& prompt_text) {
  report::HtmlReport page;
  Counts counts;
  for (std::int64_t part = 0; part < grid.num_parts(); ++part) {
    for (const SampleRecord& sample : journal.read_part(part)) {
      if (sample.finish_reason.empty()) continue;  // of a part that an earlier run wrote
      count(sample, counts);
      if (page.completions.size() >= kShownCompletions) continue;
      report::CompletionRecord record;
      record.step = sample.row;
      record.prompt = prompt_text(sample.row);
      record.completion = sample.text;
      record.finish_reason = sample.finish_reason;
      record.numbers = {{"sample", static_cast<double>(sample.sample)}, {"tokens", static_cast<double>(sample.ids.size())}};
      page.completions.push_back(std::move(record));
    }
  }
  if (counts.lengths.empty()) return;
  const auto rows = summary_rows(counts, summary);
  std::size_t width = 0;
  for (const auto& [name, value] : rows) width = std::max(width, name.size());
  for (const auto& [name, value] : rows) fmt::print("{:<{}}  {}\n", name, width, value);

  page.title = fmt::format("Generation · {} on {}", config.model, config.hf_dataset);
  page.subtitle = fmt::format("{}, {}", config.hf_output_dataset, config::version_text("r1_generate"));
  report::Table table{"Summary", "", {"", ""}, {}};
  for (const auto& [name, value] : rows) table.rows.push_back({name, value});
  page.tables.push_back(std::move(table));
  if (counts.lengths.size() > kShownCompletions) {
    page.notes.push_back(fmt::format("The first {} samples are shown; the step column is the input row.", kShownCompletions));
  } else {
    page.notes.push_back("The step column is the input row.");
  }
  for (const config::ConfigRow& row : config.effective_configuration) page.configuration.push_back({row.key, row.value, row.origin});
  report::write_html_report(config.hf_output_dataset + "/_report.html", page);
}

}  // namespace r1::generate
