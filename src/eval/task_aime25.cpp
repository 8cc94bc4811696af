// AIME 2025, both parts.
#include "eval/math_task.h"
#include "eval/task_registry.h"

namespace r1::eval {

Task open_aime25(const TaskSettings& settings) {
  return make_math_task({.name = "aime25",
                         .data = {.folders = {"aime25", "aime_2025", "aime2025"}, .hub_id = "yentinglin/aime_2025", .hub_split = "train"},
                         .head_sample_counts = {1, 4, 8, 16, 32, 64}},
                        settings);
}

}  // namespace r1::eval
