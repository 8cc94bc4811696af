// Where an answer is looked for, and in which order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "verify/verify.h"

namespace r1::verify {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> extracted(const std::string& text, const char* profile = "default") {
  return describe(extract_answer(text, profile_by_name(profile).prediction));
}

TEST(Extraction, PrefersTheFinalAnswerThenTheBoxThenTheLastFormula) {
  EXPECT_THAT(extracted("We get $3$, then \\boxed{4}. The final answer is $5$. I hope it is correct."), ElementsAre("5", "5"));
  EXPECT_THAT(extracted("We get $\\boxed{4}$ and then $5$."), ElementsAre("4", "4"));
  EXPECT_THAT(extracted("First $\\frac{1}{2}$ and then $898$"), ElementsAre("898", "898"));
  EXPECT_THAT(extracted("The sum is 17 apples"), ElementsAre("17", "17"));
}

TEST(Extraction, JoinsEnvironmentsAndBoxesThatBelongTogether) {
  EXPECT_THAT(extracted("$1$, $2$ and $3$"), ElementsAre("{1, 2, 3}", "1 and 2 and 3"));
  EXPECT_THAT(extracted("\\boxed{3} or \\boxed{4}"), ElementsAre("{3, 4}", "3,4"));
  EXPECT_THAT(extracted("A first guess is \\boxed{7} but after much more thought it is \\boxed{9}", "open_r1").front(), "9");
}

TEST(Extraction, TakesThePercentSignBehindAnEnvironment) {
  EXPECT_THAT(extracted("It is $12$%"), ElementsAre("12*(1/100)", "12"));
  EXPECT_THAT(extracted("It is 12.5 percent"), ElementsAre("12.5000000000000*(1/100)", "12.5"));
}

TEST(Extraction, ReadsAnUnclosedBoxToTheEnd) { EXPECT_EQ(open_boxes("so x = \\boxed{12", BoxMode::kLast), "{12"); }

TEST(Extraction, OfTheOpenR1ProfileNeedsABoxOrAnAnchor) {
  EXPECT_THAT(extracted("\\[ 1030 \\]", "open_r1"), IsEmpty());
  EXPECT_THAT(extracted("The answer is $3$.", "open_r1"), ElementsAre("3", "3"));
  EXPECT_THAT(extracted("The answer is 3.", "open_r1"), IsEmpty());
}

TEST(Extraction, ReadsPlainNumbersInTheirUsualForms) {
  EXPECT_THAT(extracted("it costs $1,234.50").front(), "1234.50000000000");
  EXPECT_THAT(extracted("answer: 007").front(), "7");
  EXPECT_THAT(extracted("the total = 3 + 4*5").front(), "3 + 4*5");
  EXPECT_THAT(extracted("x is .5").front(), "0.500000000000000");
}

TEST(Extraction, SeesUnicodeBlanks) { EXPECT_THAT(extracted("the answer is\u3000\u00a042").front(), "42"); }

TEST(Extraction, GivesUpOnLongAnswersWithoutReadingThem) {
  const Answer answer = extract_answer("$" + std::string(100'000, '1') + "$", profile_by_name("latex").prediction);
  EXPECT_TRUE(answer.over_budget);
  EXPECT_FALSE(answer.is_read());
}

TEST(Normalisation, DropsUnitsAndKeepsNumbers) {
  const auto normalised = [](const std::string& text) { return normalise_latex(text, {}); };
  EXPECT_EQ(normalised("12\\text{ cm}^2"), "12");
  EXPECT_EQ(normalised("3.5 hours"), "3.5");
  EXPECT_EQ(normalised("\\$ 32,\\!348"), "32,348");
  EXPECT_EQ(normalised("\\left( 3, \\dfrac\\pi2 \\right)"), "( 3, \\frac{\\}{p}i2 )");  // as the library: the two characters behind \frac
  EXPECT_EQ(normalised("2/3"), "\\frac{2}{3}");
  EXPECT_EQ(normalised("5 \\text{ and } 6"), "5, 6");
}

}  // namespace
}  // namespace r1::verify
