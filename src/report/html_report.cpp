#include "report/html_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/files.h"
#include "base/strings.h"
#include "report/chart_svg.h"
#include "report/html_text.h"

namespace r1::report {
namespace {

constexpr const char* kStyle =
#include "report/report.css.inc"
    ;
constexpr const char* kScript =
#include "report/report.js.inc"
    ;

bool is_number(std::string_view cell) {
  std::string_view text = trim(cell);
  if (text.ends_with('%')) text = trim(text.substr(0, text.size() - 1));
  // "0.81 ± 0.02" is a number with its error.
  if (const std::size_t error = text.find("±"); error != std::string_view::npos) text = trim(text.substr(0, error));
  return text.empty() || text == "-" || text == "–" || parse_double(text).has_value();
}

std::string table_html(const Table& table) {
  std::vector<bool> numeric(table.columns.size(), !table.rows.empty());
  for (const auto& row : table.rows) {
    for (std::size_t c = 0; c < numeric.size(); ++c) numeric[c] = numeric[c] && (c >= row.size() || is_number(row[c]));
  }
  std::string html = "<div>";
  if (!table.title.empty()) html += fmt::format("<h3>{}</h3>", html_escape(table.title));
  if (!table.note.empty()) html += fmt::format(R"(<p class="note">{}</p>)", html_escape(table.note));
  html += R"(<div class="card wide"><table><thead><tr>)";
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    html += fmt::format("<th{}>{}</th>", numeric[c] ? R"( class="number")" : "", html_escape(table.columns[c]));
  }
  html += "</tr></thead><tbody>";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      html += fmt::format("<td{}>{}</td>", numeric[c] ? R"( class="number")" : "", c < row.size() ? html_escape(row[c]) : "");
    }
    html += "</tr>";
  }
  return html + "</tbody></table></div></div>";
}

std::string configuration_html(const std::vector<ConfigurationEntry>& configuration) {
  std::string html =
      R"(<section id="configuration"><h2>Configuration</h2><div class="controls">)"
      R"(<input type="search" id="configuration-filter" placeholder="Filter keys, values, origins" aria-label="Filter the configuration">)"
      R"(<label><input type="checkbox" id="configuration-changed"> only what differs from the defaults</label></div>)"
      R"(<div class="card wide"><table class="configuration"><thead><tr><th>key</th><th>value</th><th>origin</th></tr></thead><tbody>)";
  for (const ConfigurationEntry& entry : configuration) {
    html += fmt::format(R"(<tr{}><td class="key">{}</td><td class="text">{}</td><td class="origin">{}</td></tr>)",
                        entry.origin == "default" ? "" : R"( class="changed")", html_escape(entry.key), html_escape(entry.value),
                        html_escape(entry.origin));
  }
  return html + "</tbody></table></div></section>";
}

// Prompts are shared by the completions of a group, so each stands in the data once.
Json completions_json(const std::vector<CompletionRecord>& completions, std::vector<std::string>& columns, bool& has_finish) {
  std::map<std::string, std::size_t> column_index, prompt_index;
  for (const CompletionRecord& record : completions) {
    has_finish = has_finish || !record.finish_reason.empty();
    for (const auto& [name, value] : record.numbers) {
      if (column_index.emplace(name, columns.size()).second) columns.push_back(name);
    }
  }
  Json prompts = Json::array(), rows = Json::array();
  for (const CompletionRecord& record : completions) {
    const auto [prompt, is_new] = prompt_index.emplace(record.prompt, prompts.size());
    if (is_new) prompts.push_back(record.prompt);
    Json numbers = Json::array();
    for (std::size_t c = 0; c < columns.size(); ++c) numbers.push_back(nullptr);
    for (const auto& [name, value] : record.numbers) {
      if (std::isfinite(value)) numbers[column_index[name]] = value;
    }
    Json texts = Json::array();
    for (const auto& [name, text] : record.texts) texts.push_back({name, text});
    rows.push_back(
        Json::array({record.step, prompt->second, record.completion, record.finish_reason, std::move(numbers), std::move(texts)}));
  }
  return {{"columns", columns}, {"hasFinish", has_finish}, {"prompts", std::move(prompts)}, {"rows", std::move(rows)}};
}

std::string completions_html(const std::vector<CompletionRecord>& completions) {
  std::vector<std::string> columns;
  bool has_finish = false;
  const Json data = completions_json(completions, columns, has_finish);
  std::string html =
      R"(<section id="completions"><h2>Completions</h2><noscript><p class="note">The viewer needs JavaScript; the same rows are in the run's JSONL files.</p></noscript>)"
      R"(<div class="controls"><input type="search" id="c-search" placeholder="Search prompts and completions" aria-label="Search">)"
      R"(<select id="c-step" aria-label="Step"><option value="">all steps</option></select>)"
      R"(<select id="c-finish" aria-label="Finish reason"><option value="">any ending</option></select>)"
      R"(<select id="c-column" aria-label="Column to filter by"></select>)"
      R"(<input type="number" step="any" id="c-low" placeholder="at least" aria-label="At least">)"
      R"(<input type="number" step="any" id="c-high" placeholder="at most" aria-label="At most"><span class="count" id="c-count"></span></div>)"
      R"(<div class="card wide"><table class="viewer"><colgroup><col style="width:74px"><col><col>)";
  for (std::size_t c = 0; c < columns.size(); ++c) html += R"(<col style="width:104px">)";
  if (has_finish) html += R"(<col style="width:96px">)";
  html += R"(</colgroup><thead><tr><th class="number" data-sort="step">step</th><th>prompt</th><th>completion</th>)";
  for (std::size_t c = 0; c < columns.size(); ++c) {
    html += fmt::format(R"(<th class="number" data-sort="{}" title="{}">{}</th>)", c, html_escape(columns[c]), html_escape(columns[c]));
  }
  if (has_finish) html += R"(<th data-sort="finish">ended by</th>)";
  html += R"(</tr></thead><tbody id="c-body"></tbody></table></div>)"
          R"(<div class="pages"><button id="c-previous">Previous</button><span id="c-page"></span><button id="c-next">Next</button></div>)";
  return html + R"(<script type="application/json" id="completions-data">)" + script_json(data) + "</script></section>";
}

std::string headline_html(const std::vector<HeadlineFigure>& headline) {
  std::string html = R"(<div class="headline">)";
  for (const HeadlineFigure& figure : headline) {
    html += fmt::format(R"(<div class="card"><div class="label">{}</div><div class="value">{}</div><div class="detail">{}</div></div>)",
                        html_escape(figure.label), html_escape(figure.value), html_escape(figure.detail));
  }
  return html + "</div>";
}

}  // namespace

std::string render_html(const HtmlReport& report) {
  std::string body, links;
  auto add = [&](const char* id, const char* name, const std::string& section) {
    links += fmt::format(R"(<a href="#{}">{}</a>)", id, name);
    body += section;
  };
  if (!report.notes.empty()) {
    std::string section = R"(<section id="notes" class="notes"><h2>Notes</h2>)";
    for (const std::string& note : report.notes) section += fmt::format("<p>{}</p>", html_escape(note));
    add("notes", "Notes", section + "</section>");
  }
  std::string figures;
  for (const Chart& chart : report.charts) figures += chart_figure(chart);
  if (!figures.empty())
    add("curves", "Curves", R"(<section id="curves"><h2>Curves</h2><div class="charts">)" + figures + "</div></section>");
  if (!report.tables.empty()) {
    std::string section = R"(<section id="tables"><h2>Tables</h2><div class="tables">)";
    for (const Table& table : report.tables) section += table_html(table);
    add("tables", "Tables", section + "</div></section>");
  }
  if (!report.completions.empty()) add("completions", "Completions", completions_html(report.completions));
  if (!report.configuration.empty()) add("configuration", "Configuration", configuration_html(report.configuration));

  // The policy refuses every request, so a text that slipped through could not fetch or send anything.
  std::string html =
      R"(<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">)"
      R"(<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">)";
  html += fmt::format("<title>{}</title><style>{}</style></head><body>", html_escape(report.title), kStyle);
  html += fmt::format("<header><div><h1>{}</h1>", html_escape(report.title));
  if (!report.subtitle.empty()) html += fmt::format("<p>{}</p>", html_escape(report.subtitle));
  if (!report.headline.empty()) html += headline_html(report.headline);
  html += "</div></header>";
  if (!links.empty()) html += "<nav><div>" + links + "</div></nav>";
  html += "<main>" + body + "<footer>Open R1 for HPC. This page holds all its data; nothing is fetched.</footer></main>";
  html += fmt::format("<script>{}</script></body></html>\n", kScript);
  return html;
}

void write_html_report(const std::string& path, const HtmlReport& report) { write_file_atomically(path, render_html(report)); }

}  // namespace r1::report
