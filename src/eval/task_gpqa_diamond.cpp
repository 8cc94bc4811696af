// GPQA diamond. Its authors ask that the questions stay out of plain text on the web, so the file is the user's own.
#include "base/error.h"
#include "base/json.h"
#include "base/rng.h"
#include "eval/math_task.h"
#include "eval/task_registry.h"

namespace r1::eval {
namespace {

constexpr const char* kQuestion = "Question";
constexpr const char* kCorrect = "Correct Answer";
constexpr const char* kIncorrect[] = {"Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"};

/// Where the correct choice stands, 0 to 3: a pure function of seed and row, so that ranks, restarts and other tasks do not move it.
std::size_t correct_position(std::uint64_t seed, std::int64_t index) {
  return RandomStream(seed, "gpqa:diamond", static_cast<std::uint64_t>(index)).below(4);
}

std::string question_with_choices(const data::Dataset& dataset, const Json& row, std::int64_t index, std::uint64_t seed) {
  std::vector<std::string> choices;
  for (const char* column : kIncorrect) choices.push_back(text_of(dataset, index, row, column));
  choices.insert(choices.begin() + static_cast<std::ptrdiff_t>(correct_position(seed, index)), text_of(dataset, index, row, kCorrect));
  std::string text =
      "Answer this multiple choice question. Think step by step first. The last line of your response must read 'Answer: $LETTER' "
      "(without the quotes), where LETTER is one of ABCD.\n\n";
  text += text_of(dataset, index, row, kQuestion) + "\n";
  for (std::size_t i = 0; i < choices.size(); ++i) text += fmt::format("\n{}) {}", "ABCD"[i], choices[i]);
  return text;
}

}  // namespace

Task open_gpqa_diamond(const TaskSettings& settings) {
  const bool is_head = settings.profile == config::BenchProfile::kHead;
  Task task;
  task.name = "gpqa:diamond";
  task.suite = is_head ? "lighteval" : "custom";
  task.answer_kind = AnswerKind::kChoice;
  task.dataset = open_task_data(task.name,
                                {.folders = {"gpqa:diamond", "gpqa_diamond", "gpqa"},
                                 .hub_id = "Idavidrein/gpqa",
                                 .hub_config = "gpqa_diamond",
                                 .hub_split = "train"},
                                settings.data_dir);
  for (const char* column : {kQuestion, kCorrect, kIncorrect[0], kIncorrect[1], kIncorrect[2]}) {
    data::require_column(*task.dataset, task.name, column, "for the task gpqa:diamond");
  }
  const data::DatasetPtr dataset = task.dataset;
  task.prompt = [dataset, seed = settings.seed](const Json& row, std::int64_t index) -> Json {
    return question_with_choices(*dataset, row, index, seed);
  };
  task.gold = [seed = settings.seed](const Json&, std::int64_t index) { return std::string(1, "ABCD"[correct_position(seed, index)]); };
  task.generation_size = kPublishedGenerationSize;
  if (is_head) {
    task.sample_counts = {1, 4, 8};
    task.metric = "gpqa_pass@1";
  }
  return task;
}

}  // namespace r1::eval
