#include "report/chart_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "report/html_text.h"

namespace r1::report {
namespace {

constexpr double kWidth = 520, kHeight = 230;
constexpr double kLeft = 52, kRight = kWidth - 12, kTop = 10, kBottom = kHeight - 26;
constexpr std::size_t kMaxPoints = 800;
constexpr std::size_t kSmoothFrom = 40;  // shorter curves are drawn as they are
constexpr std::size_t kMarkersUpTo = 12;
constexpr std::size_t kNumColours = 8;

struct Axes {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
  bool logarithmic = false;

  double scale(double y) const { return logarithmic ? std::log10(y) : y; }
  double px(double x) const { return kLeft + (x - x_low) / (x_high - x_low) * (kRight - kLeft); }
  double py(double y) const { return kBottom - (scale(y) - scale(y_low)) / (scale(y_high) - scale(y_low)) * (kBottom - kTop); }
  bool drawable(double x, double y) const { return std::isfinite(x) && std::isfinite(y) && (!logarithmic || y > 0); }
};

// Texts of the ticks of one axis: the same unit and number of decimals for all of them.
std::vector<std::string> tick_texts(const std::vector<double>& ticks, bool logarithmic) {
  double largest = 0;
  for (const double tick : ticks) largest = std::max(largest, std::abs(tick));
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : largest;
  double unit = 1;
  std::string_view suffix;
  for (const auto& [size, name] : {std::pair{1e3, "K"}, std::pair{1e6, "M"}, std::pair{1e9, "G"}}) {
    if (largest < 5 * size) continue;
    unit = size;
    suffix = name;
  }
  const int decimals = step > 0 ? std::max(0, static_cast<int>(std::ceil(-std::log10(step / unit) - 1e-9))) : 0;
  std::vector<std::string> texts;
  for (const double tick : ticks) {
    if (logarithmic || largest < 1e-2 || largest >= 1e13) {
      // "5e-05" → "5e-5"
      std::string text = fmt::format("{:.3g}", tick);
      if (const std::size_t zero = text.find("e-0"); zero != std::string::npos) text.erase(zero + 2, 1);
      texts.push_back(std::abs(tick) < step * 1e-6 ? "0" : text);
    } else if (std::abs(tick) < step * 1e-6) {
      texts.emplace_back("0");  // never "-0"
    } else {
      texts.push_back(fmt::format("{:.{}f}{}", tick / unit, std::min(decimals, 4), suffix));
    }
  }
  return texts;
}

std::vector<double> power_ticks(double low, double high) {
  std::vector<double> ticks;
  const int first = static_cast<int>(std::floor(std::log10(low))), last = static_cast<int>(std::ceil(std::log10(high)));
  const int every = std::max(1, (last - first) / 6);
  for (int exponent = first; exponent <= last; exponent += every) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      const double value = digit * std::pow(10.0, exponent);
      // Within less than three decades the powers of ten alone would be too few lines.
      if ((digit == 1.0 || last - first < 3) && value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) ticks.push_back(value);
    }
  }
  return ticks;
}

// [d attribute of a path]: a gap begins a new piece; a piece of one point becomes a dot through the round line cap.
std::string path_of(const std::vector<double>& x, const std::vector<double>& y, const Axes& axes) {
  std::string path;
  bool pen_down = false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!axes.drawable(x[i], y[i])) {
      pen_down = false;
      continue;
    }
    const double px = axes.px(x[i]), py = std::clamp(axes.py(y[i]), kTop - 2, kBottom + 2);
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", px, py);
    const bool alone = !pen_down && (i + 1 == x.size() || !axes.drawable(x[i + 1], y[i + 1]));
    if (alone) path += "h0.01";
    pen_down = true;
  }
  return path;
}

Axes axes_of(const Chart& chart, const std::vector<std::vector<double>>& tops) {
  Axes axes;
  axes.logarithmic = chart.y_scale == ChartScale::kLogarithmic && !chart.stacked;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double x_low = kInfinity, x_high = -kInfinity, y_low = kInfinity, y_high = -kInfinity;
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const Series& series = chart.series[s];
    for (std::size_t i = 0; i < series.x.size(); ++i) {
      const double y = chart.stacked ? tops[s][i] : series.y[i];
      if (!axes.drawable(series.x[i], y)) continue;
      x_low = std::min(x_low, series.x[i]);
      x_high = std::max(x_high, series.x[i]);
      y_low = std::min(y_low, y);
      y_high = std::max(y_high, y);
    }
  }
  if (x_low > x_high) return {0, 0, 0, 0, axes.logarithmic};  // nothing to draw
  if (x_low == x_high) {
    x_low -= 0.5;
    x_high += 0.5;
  }
  if (axes.logarithmic) {
    if (y_high <= y_low * 1.001) {
      y_low /= 2;
      y_high *= 2;
    }
    const double pad = std::pow(y_high / y_low, 0.04);
    return {x_low, x_high, y_low / pad, y_high * pad, true};
  }
  const bool positive = y_low >= 0;
  if (chart.from_zero || chart.stacked) {
    y_low = std::min(0.0, y_low);
    y_high = std::max(0.0, y_high);
  }
  if (y_high - y_low <= 1e-12 * std::max(std::abs(y_low), std::abs(y_high))) {
    const double half = y_low == 0 ? 1 : std::abs(y_low) * 0.1;
    y_low -= half;
    y_high += half;
  }
  const double pad = (y_high - y_low) * 0.05;
  y_high += pad;
  y_low = positive ? std::max(0.0, y_low - pad) : y_low - pad;  // never an axis under zero for what cannot be negative
  if (chart.from_zero && positive) y_low = 0;
  return {x_low, x_high, y_low, y_high, false};
}

std::string grid_of(const Axes& axes) {
  std::string svg;
  const std::vector<double> y_ticks = axes.logarithmic ? power_ticks(axes.y_low, axes.y_high) : round_ticks(axes.y_low, axes.y_high, 5);
  const std::vector<std::string> y_texts = tick_texts(y_ticks, axes.logarithmic);
  for (std::size_t i = 0; i < y_ticks.size(); ++i) {
    const double y = axes.py(y_ticks[i]);
    svg += fmt::format(
        R"(<line class="grid" x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}"/><text x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>)", kLeft,
        kRight, y, kLeft - 7, y + 3.8, y_texts[i]);
  }
  const std::vector<double> x_ticks = round_ticks(axes.x_low, axes.x_high, 6);
  const std::vector<std::string> x_texts = tick_texts(x_ticks, false);
  for (std::size_t i = 0; i < x_ticks.size(); ++i) {
    svg += fmt::format(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", std::clamp(axes.px(x_ticks[i]), kLeft + 4, kRight - 6),
                       kHeight - 8, x_texts[i]);
  }
  return svg + fmt::format(R"(<line class="axis" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>)", kLeft, kRight, kBottom);
}

std::string area_path(const Series& series, const std::vector<double>& below, const std::vector<double>& top, const Axes& axes) {
  std::string path, back;
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    path += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", axes.px(series.x[i]), axes.py(top[i]));
    back = fmt::format("L{:.1f} {:.1f}", axes.px(series.x[i]), axes.py(below[i])) + back;
  }
  return path + back + "Z";
}

std::string curve_of(const Chart& chart, std::size_t index, const Series& shown, const Axes& axes) {
  const std::string colour = fmt::format("var(--s{})", index % kNumColours);
  const Series& whole = chart.series[index];
  std::string svg;
  if (chart.smooth && whole.y.size() >= kSmoothFrom) {
    svg += fmt::format(R"(<path class="raw" stroke="{}" d="{}"/>)", colour, path_of(shown.x, shown.y, axes));
    Series mean = {whole.name, whole.x, running_mean(whole.y, static_cast<double>(whole.y.size()) / 50)};
    mean = thinned(mean, kMaxPoints / 2);
    svg += fmt::format(R"(<path class="curve" stroke="{}" d="{}"/>)", colour, path_of(mean.x, mean.y, axes));
    return svg;
  }
  svg += fmt::format(R"(<path class="curve" stroke="{}" d="{}"/>)", colour, path_of(shown.x, shown.y, axes));
  if (shown.x.size() <= kMarkersUpTo) {
    for (std::size_t i = 0; i < shown.x.size(); ++i) {
      if (!axes.drawable(shown.x[i], shown.y[i])) continue;
      svg += fmt::format(R"(<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.2" fill="{}"/>)", axes.px(shown.x[i]), axes.py(shown.y[i]),
                         colour);
    }
  }
  return svg;
}

// Six digits are more than a curve shows, and keep the page small.
Json short_numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) {
    if (!std::isfinite(value)) list.push_back(nullptr);
    else if (value == std::round(value) && std::abs(value) < 1e15) list.push_back(static_cast<std::int64_t>(value));
    else list.push_back(std::stod(fmt::format("{:.6g}", value)));
  }
  return list;
}

// Without the series that have nothing to draw, and with stacked series thinned to the same x values.
Chart prepared(const Chart& given) {
  Chart chart = given;
  std::erase_if(chart.series, [](const Series& series) {
    return std::none_of(series.y.begin(), series.y.end(), [](double y) { return std::isfinite(y); });
  });
  if (!chart.stacked) return chart;
  for (Series& series : chart.series) {
    const std::size_t every = (series.x.size() + kMaxPoints - 1) / kMaxPoints;
    Series kept{series.name, {}, {}};
    for (std::size_t i = 0; i < series.x.size(); i += every) {
      kept.x.push_back(series.x[i]);
      kept.y.push_back(series.y[i]);
    }
    series = std::move(kept);
  }
  return chart;
}

}  // namespace

Series thinned(const Series& series, std::size_t max_points) {
  const std::size_t count = series.x.size();
  if (count <= max_points || max_points < 2) return series;
  Series kept{series.name, {}, {}};
  const std::size_t num_buckets = max_points / 2;
  for (std::size_t bucket = 0; bucket < num_buckets; ++bucket) {
    const std::size_t begin = bucket * count / num_buckets, end = (bucket + 1) * count / num_buckets;
    std::size_t lowest = begin, highest = begin;
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(series.y[lowest]) || series.y[i] < series.y[lowest]) lowest = i;
      if (!std::isfinite(series.y[highest]) || series.y[i] > series.y[highest]) highest = i;
    }
    for (const std::size_t i : {std::min(lowest, highest), std::max(lowest, highest)}) {
      if (!kept.x.empty() && kept.x.back() == series.x[i]) continue;
      kept.x.push_back(series.x[i]);
      kept.y.push_back(series.y[i]);
    }
  }
  return kept;
}

std::vector<double> running_mean(const std::vector<double>& values, double window) {
  const double keep = 1 - 1 / std::max(window, 1.0);
  const std::size_t count = values.size();
  std::vector<double> means = values;
  // Weighted sums over what lies before a point, and after it; the point itself comes in between.
  std::vector<double> sums(count, 0.0), weights(count, 0.0);
  auto sweep = [&](auto index_of) {
    double sum = 0, weight = 0;
    for (std::size_t k = 0; k < count; ++k) {
      const std::size_t i = index_of(k);
      sums[i] += sum;
      weights[i] += weight;
      const bool finite = std::isfinite(values[i]);
      sum = keep * (sum + (finite ? values[i] : 0));
      weight = keep * (weight + (finite ? 1 : 0));
    }
  };
  sweep([](std::size_t k) { return k; });
  sweep([count](std::size_t k) { return count - 1 - k; });
  for (std::size_t i = 0; i < count; ++i) {
    if (std::isfinite(values[i])) means[i] = (sums[i] + values[i]) / (weights[i] + 1);
  }
  return means;
}

std::vector<double> round_ticks(double low, double high, int wanted) {
  const double rough = (high - low) / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double digit : {1.0, 2.0, 5.0}) {
    if (digit * power >= rough * 0.999) {
      step = digit * power;
      break;
    }
  }
  std::vector<double> ticks;
  for (double index = std::ceil(low / step - 1e-9); index * step <= high + step * 1e-9; ++index) ticks.push_back(index * step);
  return ticks;
}

std::string chart_figure(const Chart& given) {
  for (const Series& series : given.series) R1_ASSERT(series.x.size() == series.y.size(), "a series needs one y for each x");
  const Chart chart = prepared(given);
  // Stacked areas: tops[s] is the sum of the series up to s; a value that is not finite counts as nothing.
  std::vector<std::vector<double>> tops;
  for (std::size_t s = 0; chart.stacked && s < chart.series.size(); ++s) {
    R1_ASSERT(chart.series[s].x == chart.series[0].x, "stacked series share their x values");
    std::vector<double> top = s == 0 ? std::vector<double>(chart.series[0].x.size(), 0.0) : tops.back();
    for (std::size_t i = 0; i < top.size(); ++i) top[i] += std::isfinite(chart.series[s].y[i]) ? chart.series[s].y[i] : 0;
    tops.push_back(std::move(top));
  }
  const Axes axes = axes_of(chart, tops);
  if (axes.x_low == axes.x_high) return "";

  std::string curves;
  Json hover = Json::array();
  for (std::size_t s = 0; s < chart.series.size(); ++s) {
    const Series& series = chart.series[s];
    if (chart.stacked) {
      const std::vector<double> below = s == 0 ? std::vector<double>(series.x.size(), 0.0) : tops[s - 1];
      curves +=
          fmt::format(R"svg(<path class="area" fill="var(--s{})" d="{}"/>)svg", s % kNumColours, area_path(series, below, tops[s], axes));
      hover.push_back(
          {{"name", series.name}, {"x", short_numbers(series.x)}, {"y", short_numbers(series.y)}, {"top", short_numbers(tops[s])}});
      continue;
    }
    const Series shown = thinned(series, kMaxPoints);
    curves += curve_of(chart, s, shown, axes);
    hover.push_back({{"name", series.name}, {"x", short_numbers(shown.x)}, {"y", short_numbers(shown.y)}});
  }

  std::string html = fmt::format(R"(<figure class="card chart"><h3>{}</h3>)", html_escape(chart.title));
  if (!chart.note.empty()) html += fmt::format(R"(<p class="note">{}</p>)", html_escape(chart.note));
  if (chart.series.size() > 1) {
    html += R"(<ul class="legend">)";
    for (std::size_t s = 0; s < chart.series.size(); ++s) {
      html += fmt::format(R"svg(<li><i style="background:var(--s{})"></i>{}</li>)svg", s % kNumColours, html_escape(chart.series[s].name));
    }
    html += "</ul>";
  }
  html += fmt::format(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{} by {}">)", kWidth, kHeight, html_escape(chart.title),
                      html_escape(chart.x_label));
  html += grid_of(axes) + curves + "</svg>";
  const Json data = {{"plot", {{"left", kLeft}, {"right", kRight}, {"top", kTop}, {"bottom", kBottom}}},
                     {"x", {axes.x_low, axes.x_high}},
                     {"y", {axes.y_low, axes.y_high}},
                     {"log", axes.logarithmic},
                     {"xLabel", chart.x_label},
                     {"unit", chart.y_label},
                     {"series", hover}};
  return html + R"(<script type="application/json">)" + script_json(data) + "</script></figure>";
}

std::string chart_image(const Chart& chart) {
  const std::string figure = chart_figure(chart);
  if (figure.empty()) return "";
  constexpr double kTitleHeight = 46;
  // The page's light colours (assets/report.css); an image cannot see the page's style sheet.
  std::string style = ":root{";
  constexpr const char* kColours[] = {"#2a78d6", "#1baf7a", "#eda100", "#7a5cc9", "#e34948", "#0f8a9d", "#e87ba4", "#8a6d3b"};
  static_assert(std::size(kColours) == kNumColours);
  for (std::size_t s = 0; s < kNumColours; ++s) style += fmt::format("--s{}:{};", s, kColours[s]);
  style +=
      "--surface:#fff;--grid:#ecebe7;--line:#e5e4e0}text{fill:#55544f;font:11px system-ui,sans-serif}.title{font-size:14px;font-weight:600}"
      ".grid{stroke:#ecebe7}.axis{stroke:#86857e}.curve{fill:none;stroke-width:1.8}.raw{fill:none;stroke-width:1;opacity:.32}";
  std::string image = fmt::format(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{2}"><style>{3}</style>)"
                                  R"(<rect width="{0}" height="{1}" fill="#fff"/><text class="title" x="{4}" y="18">{5}</text>)",
                                  kWidth, kHeight + kTitleHeight, kWidth * 1.4, style, kLeft, html_escape(chart.title));
  double x = kLeft;
  for (std::size_t s = 0; chart.series.size() > 1 && s < chart.series.size(); ++s) {
    image += fmt::format(R"svg(<rect x="{0:.0f}" y="29" width="9" height="9" fill="var(--s{1})"/><text x="{2:.0f}" y="37">{3}</text>)svg",
                         x, s % kNumColours, x + 13, html_escape(chart.series[s].name));
    x += 30 + 6.2 * static_cast<double>(chart.series[s].name.size());
  }
  const std::size_t begin = figure.find('>', figure.find("<svg")) + 1, end = figure.find("</svg>");
  image += fmt::format(R"svg(<g transform="translate(0 {})">)svg", kTitleHeight) + figure.substr(begin, end - begin) + "</g></svg>\n";
  return image;
}

}  // namespace r1::report
