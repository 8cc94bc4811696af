// A chart as a <figure>: inline SVG and the numbers that the page's script shows on hover.
#pragma once

#include <string>
#include <vector>

#include "report/html_report.h"

namespace r1::report {

/// The figure, or an empty text when no series has a point that can be drawn.
std::string chart_figure(const Chart& chart);

/// The same curves as an SVG document of its own, in the colours of the light page, with title and legend; for a README. Empty as above.
std::string chart_image(const Chart& chart);

/// At most about max_points points of the series, each bucket giving its lowest and its highest: no peak is lost.
Series thinned(const Series& series, std::size_t max_points);

/// Mean over the neighbours on both sides, with weights that fall off exponentially over `window` points: it does not lag
/// behind the curve. Gaps stay gaps and count for nothing.
std::vector<double> running_mean(const std::vector<double>& values, double window);

/// Round numbers (1, 2, 5 × 10^n) inside [low, high], about `wanted` of them.
std::vector<double> round_ticks(double low, double high, int wanted);

}  // namespace r1::report
