// Verdicts by rule: each test is a rule of docs/verification.md with the smallest answers that show it.
#include <gtest/gtest.h>

#include "verify/verify.h"

namespace r1::verify {
namespace {

Status grade(const std::string& gold, const std::string& prediction, bool strict = false) {
  return verify("$" + gold + "$", "$" + prediction + "$", profile_by_name("default", strict)).status;
}

#define EXPECT_SAME(gold, prediction) EXPECT_EQ(grade(gold, prediction), Status::kEqual) << gold << " ~ " << prediction
#define EXPECT_OTHER(gold, prediction) EXPECT_EQ(grade(gold, prediction), Status::kDifferent) << gold << " ~ " << prediction

TEST(Grading, ComparesNumbersExactly) {
  EXPECT_SAME("\\frac{1}{2}", "0.5");
  EXPECT_SAME("\\frac12", "\\dfrac{2}{4}");
  EXPECT_SAME("1736", "1,736");
  EXPECT_SAME("27648", "27.648 \\times 10^3");
  EXPECT_SAME("\\frac{270}7\\text{ degrees}", "38\\frac{4}{7}");
  EXPECT_OTHER("12345678901234567890", "12345678901234567891");
  EXPECT_OTHER("\\frac{1}{3}", "\\frac{1}{4}");
}

TEST(Grading, RoundsToSixPlacesWhenOneSideIsADecimal) {
  EXPECT_SAME("\\frac{1}{3}", "0.333333");
  EXPECT_SAME("8\\pi", "25.132741");
  EXPECT_OTHER("\\frac{1}{3}", "0.33333");
  EXPECT_SAME("\\frac{9}{2}", "4.5000001");
  EXPECT_OTHER("4", "4.0000001");  // an integer has to be met exactly
}

TEST(Grading, IgnoresThePercentSignBetweenIntegersOnly) {
  EXPECT_SAME("9\\%", "9");
  EXPECT_SAME("0.35625", "35.625\\%");
  EXPECT_OTHER("9.5\\%", "9.5");
}

TEST(Grading, ProvesIdentities) {
  EXPECT_SAME("x^2 - 1", "(x-1)(x+1)");
  EXPECT_SAME("\\frac{x^2-9}{x-3}", "x+3");
  EXPECT_SAME("\\sin^2 x + \\cos^2 x", "1");
  EXPECT_SAME("\\ln 8", "3\\ln 2");
  EXPECT_SAME("\\sqrt{3+2\\sqrt{2}}", "1+\\sqrt{2}");
  EXPECT_SAME("\\sqrt{x^2}", "|x|");
  EXPECT_SAME("\\cos 2x", "1 - 2\\sin^2 x");
  EXPECT_OTHER("x^2 + 1", "x^2 - 1");
  EXPECT_OTHER("\\sqrt{x^2}", "x");
  EXPECT_OTHER("\\sqrt{2}", "\\sqrt[3]{2}");
}

TEST(Grading, KnowsTheImaginaryUnit) {
  EXPECT_SAME("1+2i", "1 + 2\\cdot i");
  EXPECT_SAME("6+9i", "3(2+3i)");
  EXPECT_SAME("-1", "i^2 \\cdot 1");
  EXPECT_OTHER("1+2i", "1-2i");
}

TEST(Grading, ComparesSetsWithoutOrderAndTuplesInOrder) {
  EXPECT_SAME("\\{1,2,3\\}", "\\{3,1,2\\}");
  EXPECT_SAME("1,-2", "x=-2 \\text{ or } x=1");
  EXPECT_SAME("3 \\pm 2\\sqrt{2}", "3+2\\sqrt{2}, 3-2\\sqrt{2}");
  EXPECT_SAME("(1,2,3)", "(1, 2, \\frac{6}{2})");
  EXPECT_OTHER("(1,2,3)", "(3,2,1)");
  EXPECT_OTHER("\\{1,2\\}", "\\{1,2,3\\}");
}

TEST(Grading, ComparesIntervalsAndUnions) {
  EXPECT_SAME("(-\\infty,2)\\cup(3,\\infty)", "(3,+\\infty)\\cup(-\\infty,2)");
  EXPECT_SAME("(1,2]\\cup[2,3)", "(1,3)");
  EXPECT_SAME("x>2", "(2,\\infty)");
  EXPECT_SAME("x^2<4", "(-2,2)");
  EXPECT_OTHER("[0,1]", "[0,1)");
  EXPECT_OTHER("(2,\\infty)", "x>2");  // a set as gold is not met by a relation
  EXPECT_SAME("\\mathbb{R} \\setminus \\{0\\}", "(-\\infty,0)\\cup(0,\\infty)");
}

TEST(Grading, UnwrapsAssignments) {
  EXPECT_SAME("5", "x = 5");
  EXPECT_SAME("x = 5", "5");
  EXPECT_OTHER("x = 5", "y = 5");
  EXPECT_SAME("f(x) = 2x+1", "2x+1");
  EXPECT_SAME("x = 2+3 = 5", "5");
}

TEST(Grading, ComparesRelationsUpToScale) {
  EXPECT_SAME("y = 2x + 3", "2y = 4x + 6");
  EXPECT_SAME("y = 2x + 3", "2x + 3 = y");
  EXPECT_SAME("x \\ge 2", "2 \\le x");
  EXPECT_SAME("x > 3", "2x > 6");
  EXPECT_SAME("x > 3", "-2x < -6");
  EXPECT_OTHER("x > 3", "-2x > -6");
  EXPECT_SAME("x + y = 3", "\\{x + y = 3\\}");
  EXPECT_OTHER("x > 3", "x < 3");
  EXPECT_OTHER("y = 2x + 3", "y = -(2x + 3)");
}

TEST(Grading, ComparesMatrices) {
  EXPECT_SAME("\\begin{pmatrix} 1/5 \\\\ 2 \\end{pmatrix}", "\\begin{bmatrix} \\frac{1}{5} \\\\ 2 \\end{bmatrix}");
  EXPECT_OTHER("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\end{pmatrix}");
  EXPECT_SAME("\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}", "-2 \\cdot 1");
}

TEST(Grading, ComparesTextWithoutCase) {
  EXPECT_SAME("\\text{Evelyn}", "\\mathrm{evelyn}");
  EXPECT_SAME("\\text{(B)}", "B");
  EXPECT_SAME("\\text{even}", "even");
  EXPECT_SAME("73", "\\textbf{(073)}");
  EXPECT_OTHER("\\text{odd}", "\\text{even}");
}

TEST(Grading, UnreadableAnswersAreNeverEqualUnlessTheirTextIs) {
  EXPECT_EQ(verify("", "$5$", profile_by_name("default")).status, Status::kUnparsed);
  EXPECT_EQ(verify("no number here", "none here", profile_by_name("default")).status, Status::kUnparsed);
  EXPECT_EQ(grade("\\frac{-3\\pm\\sqrt{17}}{4}", "\\frac{-3\\pm\\sqrt{17}}{4}"), Status::kEqual);
  EXPECT_NE(grade("\\frac{-3\\pm\\sqrt{17}}{4}", "\\frac{-4\\pm\\sqrt{17}}{4}"), Status::kEqual);
}

TEST(Grading, StrictTurnsTheLenienciesOff) {
  EXPECT_SAME("52_8", "52_9");
  EXPECT_EQ(grade("52_8", "52_9", true), Status::kDifferent);
  EXPECT_EQ(grade("52_8", "52_8", true), Status::kEqual);
  EXPECT_SAME("2", "2m");
  EXPECT_EQ(grade("2", "2m", true), Status::kDifferent);
  EXPECT_EQ(grade("2", "2\\text{ cm}", true), Status::kEqual);
  EXPECT_SAME("0.0000001", "0.0000002");
  EXPECT_EQ(grade("0.0000001", "0.0000002", true), Status::kDifferent);
  EXPECT_SAME("10^{-20}", "10^{-19}");
  EXPECT_EQ(grade("10^{-20}", "10^{-19}", true), Status::kDifferent);
  EXPECT_EQ(grade("\\frac{1}{3}", "0.333333", true), Status::kEqual);
}

TEST(Grading, ChoosesLettersByTheirOwnProfile) {
  const Profile choice = profile_by_name("choice");
  EXPECT_EQ(verify("B", "I think that A is wrong.\nAnswer: B", choice).status, Status::kEqual);
  EXPECT_EQ(verify("C", "**Answer:** **B**.", choice).status, Status::kDifferent);
  EXPECT_EQ(verify("C", "There is no letter", choice).status, Status::kUnparsed);
}

}  // namespace
}  // namespace r1::verify
