#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "eval/grading.h"
#include "eval/math_task.h"
#include "eval/task_registry.h"
#include "tests/support/paths.h"

namespace r1::eval {
namespace {

using ::testing::HasSubstr;

template <typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string gold_of(const Task& task, std::int64_t row) { return task.gold(task.dataset->row(row), row); }
std::string prompt_of(const Task& task, std::int64_t row) { return task.prompt(task.dataset->row(row), row).get<std::string>(); }

TaskSettings settings_with(const std::string& data_dir) { return {.data_dir = data_dir}; }

int num_correct(const Task& task, const std::function<std::string(const Json& row)>& answer) {
  int correct = 0;
  for (std::int64_t row = 0; row < task.dataset->num_rows(); ++row) {
    const std::string text = answer(task.dataset->row(row));
    const Grade grade = ProblemGrader(task.answer_kind, gold_of(task, row)).grade(text);
    correct += grade.correct ? 1 : 0;
    if (!grade.correct) ADD_FAILURE() << task.name << " row " << row << ": " << text.substr(0, 200) << " was read as " << grade.extracted;
  }
  return correct;
}

TEST(Math500, EverySolutionIsRightAgainstItselfAndSoIsEveryAnswer) {
  R1_REQUIRE_SHARED(shared);
  const Task task = open_task("math_500", settings_with(shared + "/data/bench"));
  EXPECT_EQ(num_correct(task, [](const Json& row) { return row["solution"].get<std::string>(); }), 500);
  EXPECT_EQ(num_correct(task, [](const Json& row) { return "So it is $\\boxed{" + row["answer"].get<std::string>() + "}$."; }), 500);
}

TEST(Math500, TheAnswerOfTheNextProblemIsNearlyAlwaysWrong) {
  R1_REQUIRE_SHARED(shared);
  const Task task = open_task("math_500", settings_with(shared + "/data/bench"));
  int correct = 0;
  for (std::int64_t row = 0; row < 500; ++row) {
    const ProblemGrader grader(task.answer_kind, gold_of(task, row));
    const std::string answer = task.dataset->row((row + 1) % 500)["answer"].get<std::string>();
    correct += grader.grade("\\boxed{" + answer + "}").correct ? 1 : 0;
    EXPECT_FALSE(grader.grade("I do not know.").correct);
  }
  EXPECT_LE(correct, 10);  // neighbours with the same answer, such as 2
}

TEST(Aime, EveryAnswerInABoxIsRight) {
  R1_REQUIRE_SHARED(shared);
  const auto boxed = [](const Json& row) { return "The answer is $\\boxed{" + row["answer"].get<std::string>() + "}$."; };
  for (const char* name : {"aime24", "aime25"}) {
    EXPECT_EQ(num_correct(open_task(name, settings_with(shared + "/data/bench")), boxed), 30) << name;
  }
}

TEST(Gsm8k, TheNumberBehindTheMarkIsTheGold) {
  R1_REQUIRE_SHARED(shared);
  const Task task = open_task("gsm8k", settings_with(shared + "/data/bench"));
  EXPECT_EQ(gold_of(task, 0), "18");
  EXPECT_EQ(num_correct(task,
                        [](const Json& row) {
                          const std::string answer = row["answer"].get<std::string>();
                          return "\\boxed{" + answer.substr(answer.rfind(' ') + 1) + "}";
                        }),
            1319);
}

TEST(MathTasks, AskTheProblemAloneUnderFeb25AndWithAnInstructionUnderHead) {
  R1_REQUIRE_SHARED(shared);
  TaskSettings settings = settings_with(shared + "/data/bench");
  const Task plain = open_task("math500", settings);
  const std::string problem = plain.dataset->row(0)["problem"].get<std::string>();
  EXPECT_EQ(prompt_of(plain, 0), problem);
  EXPECT_THAT(plain.sample_counts, ::testing::ElementsAre(1));
  EXPECT_EQ(plain.metric, "extractive_match");
  settings.profile = config::BenchProfile::kHead;
  const Task head = open_task("math_500", settings);
  EXPECT_THAT(prompt_of(head, 0), HasSubstr("final answer is: $\\boxed{"));
  EXPECT_TRUE(prompt_of(head, 0).ends_with("\n\n" + problem));
  EXPECT_THAT(head.sample_counts, ::testing::ElementsAre(1, 4));
  EXPECT_THAT(open_task("aime_2024", settings).sample_counts, ::testing::ElementsAre(1, 4, 8, 16, 32, 64));
}

TEST(MathTasks, TheSentenceOfTheInstructionIsFoundAsTheAnswer) {
  const ProblemGrader grader(AnswerKind::kExpression, "204");
  EXPECT_TRUE(grader.grade("First $\\boxed{3}$.\nTherefore, the final answer is: $\\boxed{204}$. I hope it is correct.").correct);
  EXPECT_FALSE(grader.grade("First $\\boxed{204}$.\nTherefore, the final answer is: $\\boxed{205}$. I hope it is correct.").correct);
}

TEST(Grading, BoxesComeFirstAndDecimalsHaveFivePlaces) {
  const ProblemGrader grader(AnswerKind::kLatex, "so $x = \\boxed{\\frac{2}{3}}$");
  EXPECT_TRUE(grader.grade("It is \\boxed{2/3}, which is more than 0.5").correct);
  EXPECT_TRUE(grader.grade("$0.66667$").correct);
  EXPECT_FALSE(grader.grade("$0.6667$").correct);
  EXPECT_FALSE(grader.grade("").correct);
  EXPECT_EQ(grader.grade("").status, verify::Status::kUnparsed);
}

TEST(Grading, AGoldWithoutAnAnswerStandsForItself) {
  const ProblemGrader grader(AnswerKind::kLatex, "no formula here");
  EXPECT_FALSE(grader.gold_was_found());
  EXPECT_FALSE(grader.grade("\\boxed{7}").correct);
}

TEST(Grading, EqualAnswersVoteTogetherHoweverTheyAreWritten) {
  const ProblemGrader math(AnswerKind::kMath, "$\\frac12$");
  const std::vector<std::string> answers{"\\boxed{\\frac{1}{2}}", "\\boxed{3}", "nothing", "\\boxed{0.5}", "so $3$"};
  EXPECT_THAT(math.vote_classes(answers), ::testing::ElementsAre(0, 1, -1, 0, 1));
  const ProblemGrader tagged(AnswerKind::kTagged, "7");
  const std::vector<std::string> tags{"<answer>7</answer>", "7", "<answer>\n7\n</answer>", "<answer>8</answer>"};
  EXPECT_THAT(tagged.vote_classes(tags), ::testing::ElementsAre(0, -1, 0, 3));
}

class Gpqa : public ::testing::Test {
 protected:
  /// A made-up file with the columns of the real one, as CSV with a quoted comma.
  void write(int rows) {
    std::string csv = "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3\n";
    for (int i = 0; i < rows; ++i) csv += "\"Which, of these, " + std::to_string(i) + "?\",right,wrong1,wrong2,wrong3\n";
    std::filesystem::create_directories(folder_.file("gpqa_diamond"));
    folder_.write("gpqa_diamond/test.csv", csv);
  }
  Task open(std::uint64_t seed) const {
    TaskSettings settings = settings_with(folder_.path());
    settings.seed = seed;
    return open_task("gpqa:diamond", settings);
  }
  test::TemporaryFolder folder_;
};

TEST_F(Gpqa, TheCorrectChoiceStandsAtAHashedPlaceAndTheOthersKeepTheirOrder) {
  write(400);
  const Task task = open(42);
  int count[4] = {};
  for (std::int64_t row = 0; row < 400; ++row) {
    const std::string gold = gold_of(task, row), prompt = prompt_of(task, row);
    ASSERT_EQ(gold.size(), 1U);
    ++count[gold[0] - 'A'];
    EXPECT_THAT(prompt, HasSubstr("\n" + gold + ") right"));
    EXPECT_LT(prompt.find(") wrong1"), prompt.find(") wrong2"));
    EXPECT_LT(prompt.find(") wrong2"), prompt.find(") wrong3"));
    EXPECT_THAT(prompt, HasSubstr("\n\nWhich, of these, " + std::to_string(row) + "?\n\nA) "));
  }
  for (const int in_place : count) EXPECT_NEAR(in_place, 100, 35);
}

TEST_F(Gpqa, PlacesAreAFunctionOfSeedAndRowAlone) {
  write(50);
  const Task task = open(42), again = open(42), other = open(43);
  int moved = 0;
  for (std::int64_t row = 49; row >= 0; --row) {  // another order of asking, and rows asked twice
    EXPECT_EQ(gold_of(task, row), gold_of(again, row));
    EXPECT_EQ(prompt_of(task, row), prompt_of(again, row));
    moved += gold_of(task, row) != gold_of(other, row) ? 1 : 0;
  }
  EXPECT_GT(moved, 20);
  write(7);  // fewer rows move nothing
  const Task fewer = open(42);
  for (std::int64_t row = 0; row < 7; ++row) EXPECT_EQ(gold_of(fewer, row), gold_of(task, row));
}

TEST_F(Gpqa, LettersAreGradedAndMissingColumnsNamed) {
  const ProblemGrader grader(AnswerKind::kChoice, "C");
  EXPECT_TRUE(grader.grade("B is tempting, but no.\nAnswer: C").correct);
  EXPECT_FALSE(grader.grade("Answer: B").correct);
  EXPECT_EQ(grader.grade("Answer: B").extracted, "B");
  std::filesystem::create_directories(folder_.file("gpqa"));
  folder_.write("gpqa/test.csv", "Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2\na,b,c,d\n");
  EXPECT_THAT(message_of([&] { open(1); }), HasSubstr("Incorrect Answer 3"));
}

TEST(BuiltinTasks, AreHeldOutRowsGradedByTheirOwnRule) {
  const Task chain = open_task("builtin/chain:steps=4,test_rows=20", {});
  EXPECT_EQ(chain.dataset->num_rows(), 20);
  EXPECT_EQ(chain.answer_kind, AnswerKind::kTagged);
  const ProblemGrader grader(chain.answer_kind, gold_of(chain, 0));
  EXPECT_TRUE(grader.grade("<think>\n1\n</think>\n<answer>\n" + gold_of(chain, 0) + "\n</answer>").correct);
  EXPECT_FALSE(grader.grade(gold_of(chain, 0)).correct);

  const Task countdown = open_task("builtin/countdown", {});
  const Json row = countdown.dataset->row(3);
  const ProblemGrader game(countdown.answer_kind, gold_of(countdown, 3), &row);
  EXPECT_TRUE(game.grade("<answer>" + row["answer"].get<std::string>() + "</answer>").correct);
  EXPECT_FALSE(game.grade("<answer>1 + 1</answer>").correct);
}

class CustomTask : public ::testing::Test {
 protected:
  Task open(const std::string& yaml) {
    folder_.write("rows.jsonl", "{\"q\": \"1+1\", \"a\": 2}\n{\"q\": \"2+2\", \"a\": 4}\n");
    return open_task(folder_.write("sums.yaml", yaml), {});
  }
  test::TemporaryFolder folder_;
};

TEST_F(CustomTask, NeedsNothingButAFile) {
  const Task task = open("data: rows.jsonl\nprompt: \"What is {{ q }}?\"\nanswer: \"{{ a }}\"\nanswer_kind: expression\nnum_samples: 3\n");
  EXPECT_EQ(task.name, "sums");
  EXPECT_EQ(prompt_of(task, 1), "What is 2+2?");
  EXPECT_EQ(gold_of(task, 1), "4");
  EXPECT_THAT(task.sample_counts, ::testing::ElementsAre(3));
  EXPECT_TRUE(ProblemGrader(task.answer_kind, gold_of(task, 1)).grade("\\boxed{4}").correct);
}

TEST_F(CustomTask, MistakesAreNamedWithTheirLine) {
  EXPECT_THAT(message_of([&] { open("data: rows.jsonl\npromt: x\n"); }),
              HasSubstr("sums.yaml:2: unknown key 'promt' — did you mean 'prompt'?"));
  EXPECT_THAT(message_of([&] { open("data: rows.jsonl\nprompt: '{{ q }}'\n"); }), HasSubstr("the key 'answer' is missing"));
  EXPECT_THAT(message_of([&] { open("data: rows.jsonl\nprompt: '{{ q }}'\nanswer: '{{ a }}'\nanswer_kind: letter\n"); }),
              HasSubstr("sums.yaml:4: 'answer_kind': expected one of latex, expression"));
  const Task task = open("data: rows.jsonl\nprompt: '{{ question }}'\nanswer: '{{ a }}'\n");
  EXPECT_THAT(message_of([&] { prompt_of(task, 0); }), HasSubstr("rows.jsonl:1"));
}

TEST(TaskNames, CommasInsideABuiltinNameAreKept) {
  EXPECT_THAT(task_names({"math_500", "builtin/chain:steps=4", "test_rows=9", "aime24"}),
              ::testing::ElementsAre("math_500", "builtin/chain:steps=4,test_rows=9", "aime24"));
  EXPECT_THAT(message_of([] { task_names({"aime24", "aime24"}); }), HasSubstr("stands twice"));
}

TEST(TaskNames, UnknownOnesAndMissingDataAreExplained) {
  EXPECT_THAT(message_of([] { open_task("math_50", {}); }), HasSubstr("did you mean 'math_500'?"));
  const test::TemporaryFolder empty;
  setenv("HF_HOME", empty.path().c_str(), 1);
  const std::string message = message_of([&] { open_task("aime24", settings_with(empty.path())); });
  unsetenv("HF_HOME");
  EXPECT_THAT(message, HasSubstr("/aime_2024/test.jsonl"));
  EXPECT_THAT(message, HasSubstr("r1_inspect download HuggingFaceH4/aime_2024 --dataset"));
}

}  // namespace
}  // namespace r1::eval
