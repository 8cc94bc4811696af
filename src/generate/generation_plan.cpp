#include "generate/generation_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/memory_note.h"
#include "base/strings.h"
#include "checkpoint/inference_model.h"
#include "engine/engine.h"
#include "engine/kv_cache.h"
#include "generate/sampling_choice.h"
#include "plan/advice.h"

namespace r1::generate {
namespace {

std::string layout_text(const GenerationJob& job, int num_ranks) {
  const int of_a_replica = job.tensor_parallel_size * job.pipeline_parallel_size;
  if (of_a_replica == 1) return num_ranks == 1 ? "" : "each rank the whole model";
  return fmt::format("{} tensor × {} pipeline parallel, {} replica{}", job.tensor_parallel_size, job.pipeline_parallel_size,
                     num_ranks / of_a_replica, num_ranks / of_a_replica == 1 ? "" : "s");
}

}  // namespace

plan::JobPlan plan_generation_memory(const config::CommonConfig& config, const GenerationJob& job, int num_threads) {
  const int of_a_replica = job.tensor_parallel_size * job.pipeline_parallel_size;
  if (config.world_size % of_a_replica != 0 && config.world_size > 1) {
    fail(ErrorKind::kUsage, "{} ranks: expected a multiple of tensor_parallel_size × pipeline_parallel_size = {}", config.world_size,
         of_a_replica);
  }
  const int num_ranks = std::max(config.world_size, of_a_replica);
  plan::InferenceShape shape;
  shape.model = job.model;
  shape.storage = weight_storage(job.dtype);
  shape.stored_dtype = checkpoint::stored_dtype(job.model_folder, job.model.torch_dtype);
  shape.tensor_parallel_size = job.tensor_parallel_size;
  shape.pipeline_parallel_size = job.pipeline_parallel_size;
  shape.num_threads = std::max(1, num_threads);
  shape.device = job.device;
  shape.engine.num_sequences = job.num_sequences;
  shape.engine.prompt_length = job.longest_prompt;
  shape.engine.max_model_len = job.max_model_len;
  shape.engine.kv_cache_bytes = job.kv_cache_memory ? job.kv_cache_memory->bytes : 0;

  plan::JobPlan plan;
  plan.program = job.program;
  plan.model = fmt::format("{}: {}", job.model_folder, job.model.model_type);
  plan.nodes = config.nodes.value_or(1);
  plan.device = job.device;
  if (job.device.kind == DeviceKind::kCuda) {
    const bool in_f32 = shape.storage == parallel::WeightStorage::kF32 ||
                        (shape.storage == parallel::WeightStorage::kStored && shape.stored_dtype != DType::kBF16);
    plan.compute_dtype = in_f32 ? DType::kF32 : DType::kBF16;
  }
  plan.ranks_per_node = std::max(1, num_ranks / plan.nodes);
  plan.layout = layout_text(job, num_ranks);
  plan.batch = fmt::format("a pass over {} tokens, logits of {} sequences", engine::default_batch_tokens(shape.device), job.num_sequences);
  plan.process = plan::process_bytes(job.device);
  plan::set_device_memory(config, plan);
  if (config.device_memory) {
    shape.engine.device_memory = config.device_memory->bytes;
  } else if (plan.device_memory && job.device.kind == DeviceKind::kCpu) {
    shape.engine.device_memory = engine::available_host_bytes() / plan.ranks_per_node;
  }
  plan.memory = plan::plan_inference(shape);
  if (!plan.fits()) {
    const auto advice = plan::smallest_change(shape, *plan.device_memory, plan.process);
    plan.advice = advice ? fmt::format("{}: {} a rank", advice->change, format_bytes(advice->needed))
                         : "no storage and no number of ranks: shorter sequences (--max-model-len) or larger devices";
  }
  return plan;
}

void require_generation_memory(const config::CommonConfig& config, const GenerationJob& job, int num_threads, int ranks_on_host) {
  const plan::JobPlan plan = plan_generation_memory(config, job, num_threads);
  plan::require_memory(plan, ranks_on_host);
  set_memory_note(plan::to_text(plan));
}

plan::JobPlan plan_generation(const config::CommonConfig& config, const GenerationJob& job, const ExecContext& ctx) {
  plan::JobPlan plan = plan_generation_memory(config, job, ctx.threads().num_threads());
  const int of_a_replica = job.tensor_parallel_size * job.pipeline_parallel_size;
  const int num_ranks = std::max(config.world_size, of_a_replica);
  const double new_tokens =
      static_cast<double>(std::min(job.max_new_tokens, std::max<std::int64_t>(1, job.max_model_len - job.longest_prompt)));
  const double of_a_rank = std::ceil(static_cast<double>(job.num_samples) * of_a_replica / num_ranks);
  const double length = static_cast<double>(job.longest_prompt) + new_tokens;
  const double share = 1.0 / of_a_replica;
  plan.generated_tokens = of_a_rank * new_tokens;
  plan.generation_flops = of_a_rank * length * job.model.train_flops_per_token(length) / 3 * share;
  // As many at a time as the cache holds at full length.
  const double resident = std::clamp(std::floor(plan.memory.kv_cache / plan.memory.kv_cache_one_sequence), 1.0, double(job.num_sequences));
  const double turns = std::ceil(of_a_rank / resident);
  const double kv_token = plan.memory.kv_cache_one_sequence / static_cast<double>(job.max_model_len);
  plan.generation_bytes = turns * new_tokens * plan.memory.weights +
                          of_a_rank * kv_token * new_tokens * (static_cast<double>(job.longest_prompt) + new_tokens / 2);
  if (job.tensor_parallel_size > 1) {
    // Every projection is cut by its outputs; what comes out of attention, o_proj, the gated product and down_proj is gathered.
    const models::ModelConfig& m = job.model;
    const double gathered = static_cast<double>(m.num_attention_heads) * m.head_dim + 2.0 * static_cast<double>(m.hidden_size) +
                            static_cast<double>(m.intermediate_size);
    const double sent = static_cast<double>(size_of(plan.compute_dtype)) * gathered * m.num_hidden_layers * (job.tensor_parallel_size - 1) /
                        job.tensor_parallel_size;
    plan.more.emplace_back("traffic", fmt::format("{} sent by a rank for each token ({} gathers a layer)", format_bytes(sent), 4));
  }
  plan::set_speed(config, ctx, plan);
  return plan;
}

}  // namespace r1::generate
