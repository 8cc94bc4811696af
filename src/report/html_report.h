// report.html: one self-contained page about a run. Nothing is fetched; curves are inline SVG; it opens from a file system.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "report/metrics.h"

namespace r1::report {

/// All texts are plain text in UTF-8: the renderer escapes them, and replaces ill-formed bytes by U+FFFD.

/// A figure at the top of the page: "final loss", "0.412", "from 3.91 at step 1".
struct HeadlineFigure {
  std::string label = {};
  std::string value = {};
  std::string detail = {};
};

/// A curve. x and y have the same length; a y that is not finite makes a gap.
struct Series {
  std::string name = {};
  std::vector<double> x = {};
  std::vector<double> y = {};
};

enum class ChartScale { kLinear, kLogarithmic };

/// Curves that share both axes. Up to eight series have a colour of their own.
struct Chart {
  std::string title = {};
  std::string note = {};  // one line under the title; may be empty
  std::string x_label = "step";
  std::string y_label = {};  // the unit, shown with hover values; may be empty
  ChartScale y_scale = ChartScale::kLinear;
  bool from_zero = false;  // the y axis includes 0
  bool smooth = false;     // draws a running mean over each noisy curve, which stays visible behind it
  bool stacked = false;    // areas on top of each other (shares of time); series must share their x values
  std::vector<Series> series = {};
};

struct Table {
  std::string title = {};
  std::string note = {};
  std::vector<std::string> columns = {};
  std::vector<std::vector<std::string>> rows = {};  // columns whose cells are all numbers are set flush right
};

struct ConfigurationEntry {
  std::string key = {};
  std::string value = {};
  std::string origin = {};  // "flag", "recipes/x.yaml:14", "compat feb25", "default"
};

/// One row of the completions viewer.
struct CompletionRecord {
  std::int64_t step = 0;
  std::string prompt = {};
  std::string completion = {};
  std::string finish_reason = {};                               // may be empty
  std::vector<std::pair<std::string, double>> numbers = {};     // "reward", each reward by name, "tokens", …; become columns
  std::vector<std::pair<std::string, std::string>> texts = {};  // "gold", "extracted", "stage", …; shown when a row is opened
};

struct HtmlReport {
  std::string title = {};     // "SFT · chain-25m"
  std::string subtitle = {};  // date, machine, version
  std::vector<HeadlineFigure> headline = {};
  std::vector<std::string> notes = {};  // paragraphs
  std::vector<Chart> charts = {};       // without a single finite point: left out
  std::vector<Table> tables = {};
  std::vector<CompletionRecord> completions = {};
  std::vector<ConfigurationEntry> configuration = {};
};

/// The page. Long curves are thinned to about 800 points that keep every peak; completions are shown 25 at a time, so ten
/// thousand of them open at once.
std::string render_html(const HtmlReport& report);

/// Renders and writes atomically. Throws Error(kDisk).
void write_html_report(const std::string& path, const HtmlReport& report);

/// The curve of one metric over steps; rows without the metric are left out.
Series series_of(const std::vector<LoggedRow>& history, const std::string& metric, std::string name = "");

/// The charts of whatever the history holds: loss, evaluation loss, reward and its spread, rewards by function, KL, lengths,
/// clipped share, learning rate, gradient norm, tokens per second, fraction of peak, seconds of a step by part, and one chart
/// for each further number.
std::vector<Chart> charts_of(const std::vector<LoggedRow>& history);

}  // namespace r1::report
