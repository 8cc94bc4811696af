// AIME 2024: answers are whole numbers from 0 to 999, some with leading zeros.
#include "eval/math_task.h"
#include "eval/task_registry.h"

namespace r1::eval {

Task open_aime24(const TaskSettings& settings) {
  return make_math_task(
      {.name = "aime24",
       .data = {.folders = {"aime24", "aime_2024", "aime2024"}, .hub_id = "HuggingFaceH4/aime_2024", .hub_split = "train"},
       .head_sample_counts = {1, 4, 8, 16, 32, 64}},
      settings);
}

}  // namespace r1::eval
