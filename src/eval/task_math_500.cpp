// MATH-500: the gold is the written solution, whose box is found as a model's is.
#include "eval/math_task.h"
#include "eval/task_registry.h"

namespace r1::eval {

Task open_math_500(const TaskSettings& settings) {
  return make_math_task({.name = "math_500",
                         .data = {.folders = {"math_500", "math500", "MATH-500"}, .hub_id = "HuggingFaceH4/MATH-500"},
                         .gold_columns = {"solution"},
                         .answer_kind = AnswerKind::kLatex,
                         .head_sample_counts = {1, 4}},
                        settings);
}

}  // namespace r1::eval
