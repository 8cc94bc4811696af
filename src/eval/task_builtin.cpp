// builtin/<task>: the held-out rows of the tasks that come with the program.
#include "base/error.h"
#include "base/json.h"
#include "data/builtin_tasks.h"
#include "eval/task_data.h"
#include "eval/task_registry.h"

namespace r1::eval {

Task open_builtin_task(const std::string& name) {
  Task task;
  task.name = name;
  task.suite = "builtin";
  task.answer_kind = data::parse_builtin_name(name).task == "countdown" ? AnswerKind::kCountdown : AnswerKind::kTagged;
  task.dataset = data::open_builtin(name, "test");
  const data::DatasetPtr dataset = task.dataset;
  task.prompt = [dataset](const Json& row, std::int64_t index) { return data::column_value(*dataset, index, row, "prompt"); };
  task.gold = [dataset](const Json& row, std::int64_t index) { return text_of(*dataset, index, row, "answer"); };
  return task;
}

}  // namespace r1::eval
