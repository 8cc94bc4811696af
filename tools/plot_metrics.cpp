// Draws one metric of several runs as an SVG picture: plot_metrics OUT.svg TITLE METRIC LABEL=metrics.jsonl…
#include <fmt/format.h>

#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "report/chart_svg.h"

int main(int argc, char** argv) {
  using namespace r1;
  if (argc < 5) {
    fmt::print(stderr, "usage: plot_metrics OUT.svg TITLE METRIC LABEL=metrics.jsonl [LABEL=metrics.jsonl…]\n");
    return 2;
  }
  try {
    report::Chart chart;
    chart.title = argv[2];
    chart.from_zero = true;
    for (int i = 4; i < argc; ++i) {
      const std::string argument = argv[i];
      const std::size_t equals = argument.find('=');
      if (equals == std::string::npos) fail(ErrorKind::kUsage, "expected LABEL=metrics.jsonl, found '{}'", argument);
      report::Series series;
      series.name = argument.substr(0, equals);
      std::ifstream file(argument.substr(equals + 1));
      if (!file) fail(ErrorKind::kData, "{}: cannot be read", argument.substr(equals + 1));
      for (std::string line; std::getline(file, line);) {
        const Json row = Json::parse(line);
        if (!row.contains(argv[3])) continue;
        series.x.push_back(row["step"]);
        series.y.push_back(row[argv[3]]);
      }
      chart.series.push_back(std::move(series));
    }
    const std::string image = report::chart_image(chart);
    if (image.empty()) fail(ErrorKind::kData, "no run has a value of '{}'", argv[3]);
    write_file_atomically(argv[1], image);
  } catch (const std::exception& error) {
    fmt::print(stderr, "plot_metrics: {}\n", error.what());
    return 1;
  }
  return 0;
}
