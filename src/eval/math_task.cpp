#include "eval/math_task.h"

#include "base/error.h"
#include "base/json.h"

namespace r1::eval {

std::string with_final_answer_instruction(const std::string& problem) {
  return "Solve this problem step by step, clearly and without detours. Write as the last line: Therefore, the final answer is: "
         "$\\boxed{ANSWER}$. I hope it is correct. In place of ANSWER stands nothing but the number or expression that was asked for.\n\n" +
         problem;
}

Task make_math_task(const MathTaskDescription& description, const TaskSettings& settings) {
  const bool is_head = settings.profile == config::BenchProfile::kHead;
  Task task;
  task.name = description.name;
  task.suite = is_head ? "lighteval" : "custom";
  task.answer_kind = description.answer_kind;
  task.dataset = open_task_data(description.name, description.data, settings.data_dir);
  const std::string problem = first_column(*task.dataset, task.name, description.problem_columns);
  const std::string gold = first_column(*task.dataset, task.name, description.gold_columns);
  const data::DatasetPtr dataset = task.dataset;
  task.prompt = [dataset, problem, is_head](const Json& row, std::int64_t index) -> Json {
    const std::string text = text_of(*dataset, index, row, problem);
    return is_head ? with_final_answer_instruction(text) : text;
  };
  task.gold = [dataset, gold](const Json& row, std::int64_t index) { return text_of(*dataset, index, row, gold); };
  task.generation_size = kPublishedGenerationSize;
  if (is_head) {
    task.sample_counts = description.head_sample_counts;
    task.metric = "math_pass@1";
  }
  return task;
}

}  // namespace r1::eval
