// GSM8K: the number behind #### is the gold.
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "eval/math_task.h"
#include "eval/task_registry.h"

namespace r1::eval {

Task open_gsm8k(const TaskSettings& settings) {
  Task task = make_math_task({.name = "gsm8k",
                              .data = {.folders = {"gsm8k"}, .hub_id = "openai/gsm8k", .hub_config = "main"},
                              .problem_columns = {"question"},
                              .head_sample_counts = {1, 4}},
                             settings);
  task.gold = [dataset = task.dataset](const Json& row, std::int64_t index) {
    const std::string answer = text_of(*dataset, index, row, "answer");
    const std::size_t mark = answer.rfind("####");
    if (mark == std::string::npos) fail(ErrorKind::kData, "{}: column 'answer': expected a number behind ####", dataset->where(index));
    return std::string(trim(std::string_view(answer).substr(mark + 4)));
  };
  return task;
}

}  // namespace r1::eval
