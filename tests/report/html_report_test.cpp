#include "report/html_report.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "report/chart_svg.h"
#include "report/html_text.h"
#include "tests/support/paths.h"

namespace r1::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHostile = "</script><script>alert('x')</script><!--\xff\xc0\" onload=\"x\u2028";

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

// The JSON between <script … id="completions-data"> and the next </script>, as a browser would cut it.
Json completions_in(const std::string& html) {
  const std::string begin_mark = R"(<script type="application/json" id="completions-data">)";
  const std::size_t begin = html.find(begin_mark) + begin_mark.size();
  return parse_json(std::string_view(html).substr(begin, html.find("</script>", begin) - begin), "page");
}

HtmlReport hostile_report() {
  HtmlReport report;
  report.title = report.subtitle = kHostile;
  report.headline = {{kHostile, kHostile, kHostile}};
  report.notes = {kHostile};
  report.charts = {{.title = kHostile, .note = kHostile, .x_label = kHostile, .y_label = kHostile, .series = {{kHostile, {1, 2}, {3, 4}}}},
                   {.title = "two", .series = {{kHostile, {1, 2}, {3, 4}}, {"b", {1, 2}, {3, 4}}}}};
  report.tables = {{.title = kHostile, .note = kHostile, .columns = {kHostile}, .rows = {{kHostile}}}};
  CompletionRecord record{.step = 1, .prompt = kHostile, .completion = kHostile, .finish_reason = kHostile};
  record.numbers = {{kHostile, 1.0}};
  record.texts = {{kHostile, kHostile}};
  report.completions = {record};
  report.configuration = {{kHostile, kHostile, kHostile}};
  return report;
}

TEST(HtmlReport, NoTextOfARunBecomesMarkup) {
  const std::string html = render_html(hostile_report());
  EXPECT_EQ(first_invalid_utf8(html), std::nullopt);
  EXPECT_EQ(occurrences(html, "<script>alert"), 0);
  EXPECT_EQ(occurrences(html, "\" onload=\"x"), 0);
  EXPECT_EQ(occurrences(html, "<!--"), 0);
  // The page's own elements: data of two charts and of the completions, and the script.
  EXPECT_EQ(occurrences(html, "<script"), 4);
  EXPECT_EQ(occurrences(html, "</script>"), 4);
}

TEST(HtmlReport, KeepsTheExactTextOfACompletion) {
  HtmlReport report;
  CompletionRecord record{.step = 10, .prompt = "p", .completion = "<think>a & b</think>\n\u2028 \\u003c 漢字"};
  record.numbers = {{"reward", 0.5}};
  report.completions = {record, {.step = 20, .prompt = "p", .completion = "c", .finish_reason = "length"}};
  const Json data = completions_in(render_html(report));
  EXPECT_EQ(data["prompts"].size(), 1);  // shared by both
  EXPECT_EQ(data["rows"][0][2], record.completion);
  EXPECT_EQ(to_json_line(data["rows"][1]), R"([20,0,"c","length",[null],[]])");
}

TEST(HtmlReport, FetchesNothing) {
  HtmlReport report = hostile_report();
  const std::string html = render_html(report);
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  for (const char* part : {"src=", "@import", "url(", "<link", "<img", "<iframe", "fetch(", "XMLHttpRequest", "innerHTML"}) {
    EXPECT_EQ(occurrences(html, part), 0) << part;
  }
  // The only address is the name of the SVG language.
  EXPECT_EQ(occurrences(html, "http://") + occurrences(html, "https://"), occurrences(html, "http://www.w3.org/2000/svg"));
}

TEST(HtmlReport, HoldsOnlyTheSectionsThatHaveContent) {
  HtmlReport report;
  report.title = "empty";
  const std::string html = render_html(report);
  for (const char* id : {"notes", "curves", "tables", "completions", "configuration"}) {
    EXPECT_EQ(occurrences(html, std::string("<section id=\"") + id), 0) << id;
  }
}

TEST(HtmlReport, MarksWhatDiffersFromTheDefaults) {
  HtmlReport report;
  report.configuration = {{"seed", "42", "default"}, {"beta", "0.04", "compat feb25"}};
  const std::string html = render_html(report);
  EXPECT_THAT(html, HasSubstr(R"(<tr><td class="key">seed</td>)"));
  EXPECT_THAT(html,
              HasSubstr(R"(<tr class="changed"><td class="key">beta</td><td class="text">0.04</td><td class="origin">compat feb25</td>)"));
}

TEST(HtmlReport, SetsColumnsOfNumbersFlushRight) {
  HtmlReport report;
  report.tables = {{.columns = {"task", "pass@1", "mixed"}, .rows = {{"math_500", "81.2 ± 1.7", "3"}, {"aime24", "28.9 %", "three"}}}};
  const std::string html = render_html(report);
  EXPECT_THAT(html, HasSubstr(R"(<th>task</th><th class="number">pass@1</th><th>mixed</th>)"));
}

TEST(HtmlReport, HoldsTenThousandCompletions) {
  HtmlReport report;
  const std::string words(1000, 'a');
  for (int i = 0; i < 10000; ++i) {
    CompletionRecord record{.step = i / 100, .prompt = "prompt " + std::to_string(i / 8), .completion = words};
    record.numbers = {{"reward", i % 2}};
    report.completions.push_back(record);
  }
  const std::string html = render_html(report);
  EXPECT_LT(html.size(), 12'000'000);
  EXPECT_EQ(completions_in(html)["rows"].size(), 10000);
}

TEST(HtmlReport, IsWrittenWholeOrNotAtAll) {
  const test::TemporaryFolder folder;
  write_html_report(folder.file("report.html"), hostile_report());
  EXPECT_THAT(read_file(folder.file("report.html")), ::testing::EndsWith("</script></body></html>\n"));
  EXPECT_THROW(write_html_report(folder.file("absent/report.html"), {}), Error);
}

TEST(ChartFigure, IsLeftOutWithoutAPointToDraw) {
  EXPECT_EQ(chart_figure({.title = "a"}), "");
  EXPECT_EQ(chart_figure({.series = {{"nan", {1, 2}, {NAN, NAN}}}}), "");
  EXPECT_EQ(chart_figure({.y_scale = ChartScale::kLogarithmic, .series = {{"zero", {1, 2}, {0, -1}}}}), "");
}

TEST(ChartFigure, MakesAGapWhereAValueIsNotFinite) {
  const std::string html = chart_figure({.series = {{"s", {1, 2, 3, 4, 5}, {1, 2, NAN, 2, 1}}}});
  const std::size_t begin = html.find("d=\"M") + 3;
  const std::string path = html.substr(begin, html.find('"', begin) - begin);
  EXPECT_EQ(occurrences(path, "M"), 2);
  EXPECT_EQ(occurrences(path, "L"), 2);
  EXPECT_THAT(html, HasSubstr(R"("y":[1,2,null,2,1])"));
}

TEST(ChartFigure, DrawsASinglePointAndAConstantWithoutDividingByZero) {
  for (const Chart& chart : {Chart{.series = {{"one", {5}, {0}}}}, Chart{.series = {{"flat", {1, 2, 3}, {7, 7, 7}}}},
                             Chart{.y_scale = ChartScale::kLogarithmic, .series = {{"flat", {1, 2}, {1e-5, 1e-5}}}},
                             Chart{.series = {{"tiny", {1, 2}, {1e-300, 2e-300}}}}, Chart{.series = {{"huge", {1, 2}, {-1e300, 1e300}}}}}) {
    const std::string html = chart_figure(chart);
    EXPECT_THAT(html, HasSubstr("<path class=\"curve\""));
    EXPECT_THAT(html, Not(HasSubstr("nan")));
    EXPECT_THAT(html, Not(HasSubstr("inf")));
  }
}

TEST(ChartFigure, StacksAreasAndSaysTheValueOfEach) {
  const std::string html = chart_figure({.stacked = true, .series = {{"a", {1, 2}, {1, 1}}, {"b", {1, 2}, {2, 3}}}});
  EXPECT_EQ(occurrences(html, "class=\"area\""), 2);
  EXPECT_THAT(html, HasSubstr(R"("y":[2,3],"top":[3,4])"));
}

TEST(Thinned, KeepsEveryPeak) {
  Series series{"s", {}, {}};
  for (int i = 0; i < 100'000; ++i) {
    series.x.push_back(i);
    series.y.push_back(i == 54'321 ? 100.0 : i == 77'777 ? -100.0 : std::sin(i));
  }
  const Series kept = thinned(series, 800);
  EXPECT_LE(kept.x.size(), 800);
  EXPECT_GE(kept.x.size(), 700);
  EXPECT_EQ(*std::max_element(kept.y.begin(), kept.y.end()), 100.0);
  EXPECT_EQ(*std::min_element(kept.y.begin(), kept.y.end()), -100.0);
  EXPECT_TRUE(std::is_sorted(kept.x.begin(), kept.x.end()));
}

TEST(RunningMean, IsTheConstantOfAConstantAndDoesNotLagBehindALine) {
  EXPECT_THAT(running_mean({2, 2, 2}, 5), ElementsAre(2, 2, 2));
  std::vector<double> line(201);
  for (std::size_t i = 0; i < line.size(); ++i) line[i] = static_cast<double>(i);
  EXPECT_NEAR(running_mean(line, 10)[100], 100, 1e-6);
  const std::vector<double> gap = running_mean({1, NAN, 1}, 3);
  EXPECT_TRUE(std::isnan(gap[1]));
  EXPECT_DOUBLE_EQ(gap[2], 1);
}

TEST(RoundTicks, AreRoundAndInside) {
  EXPECT_THAT(round_ticks(0, 1, 5), ElementsAre(0, ::testing::DoubleNear(0.2, 1e-12), ::testing::DoubleNear(0.4, 1e-12),
                                                ::testing::DoubleNear(0.6, 1e-12), ::testing::DoubleNear(0.8, 1e-12), 1));
  EXPECT_THAT(round_ticks(1, 400, 6), ElementsAre(100, 200, 300, 400));
}

TEST(ChartsOf, GivesEachMetricItsChartOnce) {
  std::vector<LoggedRow> history;
  for (int step = 1; step <= 3; ++step) {
    MetricRow values;
    for (const char* name : {"loss", "grad_norm", "reward", "rewards/accuracy/mean", "rewards/format/mean", "completions/mean_length",
                             "time/rollout_seconds", "time/train_seconds", "peak_memory_bytes", "my_own"}) {
      values.set(name, step * 1.0);
    }
    values.set("note", "text");
    history.push_back({step, 0, values});
  }
  history.back().values.set("train_runtime", 3.0);  // logged once: a result
  std::vector<std::string> titles;
  for (const Chart& chart : charts_of(history)) titles.push_back(chart.title);
  EXPECT_THAT(titles, ElementsAre("Loss", "Reward", "Reward by function", "Completion length", "Gradient norm", "Peak memory",
                                  "Seconds of a step", "my_own"));
  EXPECT_TRUE(charts_of({}).empty());
}

TEST(ChartsOf, StacksPartsOfATimeThatSomeStepsLack) {
  std::vector<LoggedRow> history(2);
  history[0].step = 1;
  history[0].values.set("time/train_seconds", 1.0);
  history[1].step = 2;
  history[1].values.set("time/train_seconds", 1.0);
  history[1].values.set("time/eval_seconds", 2.0);
  const std::vector<Chart> charts = charts_of(history);
  ASSERT_EQ(charts.size(), 1);
  EXPECT_THAT(charts[0].series[1].y, ElementsAre(0, 2));
  EXPECT_NE(chart_figure(charts[0]), "");
}

// The one test in a real browser: the script runs and fills the viewer from hostile data.
TEST(HtmlReport, TheViewerRunsInABrowser) {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) GTEST_SKIP() << "needs chromium to run the page's script";
  const test::TemporaryFolder folder;
  write_html_report(folder.file("report.html"), hostile_report());
  const std::string command = "timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir='" +
                              folder.file("profile") + "' --dump-dom 'file://" + folder.file("report.html") + "' > '" +
                              folder.file("dom.html") + "' 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string dom = read_file(folder.file("dom.html"));
  EXPECT_THAT(dom, HasSubstr("1 completions"));
  EXPECT_THAT(dom, HasSubstr("page 1 of 1"));
  EXPECT_THAT(dom, HasSubstr("<tr class=\"row\""));
}

}  // namespace
}  // namespace r1::report
