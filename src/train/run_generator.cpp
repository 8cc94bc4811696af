#include "train/run_generator.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/signals.h"
#include "base/strings.h"
#include "comm/activity.h"
#include "train/completion_codec.h"
#include "train/grpo.h"

namespace r1::train {

void run_generator(const ExecContext& ctx, GeneratorLink& link, const models::ModelConfig& model, const RolloutOptions& options,
                   DType dtype, const GrpoPrompts& prompts, const GrpoPrompts* eval_prompts) {
  engine::RankLayout layout(link.own_group(), options.tensor_parallel_size, /*num_stages=*/1);
  RolloutModel weights(ctx, model, layout.tensor_rank(), layout.tensor_size(), dtype);
  const std::int64_t longest = std::max(prompts.longest(), eval_prompts != nullptr ? eval_prompts->longest() : std::int64_t{0});
  RolloutEngine engine(ctx, weights.model(), weights.runner(), longest, options, layout.is_alone() ? nullptr : &layout);
  WeightTransfer transfer(ctx, link.all(), link.num_trainers(), link.own_group(), weights);
  std::int64_t version = -1;
  while (true) {
    const GeneratorOrder order = [&] {
      const comm::Phase phase("waiting for the trainers");
      return link.receive_order();
    }();
    if (order.kind == GeneratorOrder::Kind::kFinish) return;
    if (order.kind == GeneratorOrder::Kind::kStop) throw signals::Stopped();
    const comm::Phase phase(fmt::format("step {}", order.step));
    if (order.weights_version != version) version = transfer.run(order.weights_version).version;
    const GrpoPrompts& of_order = order.is_evaluation ? *eval_prompts : prompts;
    try {
      engine.generate(link.own_group(), of_order, order.draws, [&](std::vector<FinishedItem> items) {
        link.post({pack_items(items), {}});
      });
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kNumeric) throw;
      fail(ErrorKind::kNumeric, "{}", about_spoilt_rollout(of_order, order.draws, order.step, error.what()));
    }
    if (!layout.is_leader()) continue;
    link.post({{}, engine.stats(), signals::stop_requested(), signals::take_save_request()});
    link.finish_posts();
  }
}

}  // namespace r1::train
