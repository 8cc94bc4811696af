// Pictures of curves that stand alone.
#include <gmock/gmock.h>

#include "report/chart_svg.h"

namespace r1::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Chart two_runs() {
  Chart chart;
  chart.title = "reward < 1 & rising";
  chart.series = {{"seed 0", {1, 2, 3}, {0.1, 0.4, 0.9}}, {"seed \"1\"", {1, 2, 3}, {0.2, 0.3, 1.0}}};
  return chart;
}

std::size_t occurrences(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(ChartImage, IsADocumentOfItsOwnWithTitleLegendAndACurvePerSeries) {
  const std::string image = chart_image(two_runs());
  EXPECT_THAT(image, AllOf(HasSubstr("xmlns=\"http://www.w3.org/2000/svg\""), HasSubstr("reward &lt; 1 &amp; rising"),
                           HasSubstr(">seed 0<"), Not(HasSubstr("<script")), Not(HasSubstr("<figure"))));
  EXPECT_EQ(occurrences(image, "<svg"), 1u);
  EXPECT_EQ(occurrences(image, "</svg>"), 1u);
  EXPECT_EQ(occurrences(image, "class=\"curve\""), 2u);
}

TEST(ChartImage, ResolvesEveryColourItUses) {
  const std::string image = chart_image(two_runs());
  for (std::size_t at = image.find("var(--"); at != std::string::npos; at = image.find("var(--", at + 1)) {
    const std::string name = image.substr(at + 4, image.find(')', at) - at - 4);
    EXPECT_THAT(image, HasSubstr(name + ":#")) << "an image has no style sheet but its own";
  }
}

TEST(ChartImage, IsEmptyWithoutPoints) {
  Chart chart;
  chart.title = "nothing";
  EXPECT_EQ(chart_image(chart), "");
}

}  // namespace
}  // namespace r1::report
