#include "plan/job_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/address_space.h"
#include "base/json.h"
#include "base/strings.h"
#include "config/loader.h"

namespace r1::plan {
namespace {

constexpr double kFractionOfPeak = 0.5, kFractionOfBandwidth = 0.7;

struct MemoryLine {
  const char* key;
  const char* name;
  double bytes = 0;
  std::string note;
};

std::vector<MemoryLine> memory_lines(const JobPlan& plan) {
  const MemoryPlan& m = plan.memory;
  const bool on_cuda = plan.device.kind == DeviceKind::kCuda, in_bf16 = plan.compute_dtype == DType::kBF16;
  return {
      {"weights", "weights", m.weights,
       m.gradients == 0 ? ""
       : in_bf16        ? "fp32, and a bf16 copy for the passes"
                        : "fp32"},
      {"gradients", "gradients", m.gradients, "fp32, the step's sums"},
      {"optimizer", "optimizer", m.optimizer, "AdamW's two moments, fp32"},
      {"reference", "reference model", m.reference,
       on_cuda ? "as the policy computes; fp32 with sync_ref_model" : "as on disk; fp32 with sync_ref_model"},
      {"rollout_share", "rollout weights", m.rollout_share, "this rank's part"},
      {"communication", "communication", m.communication, "gathered units, gradients under way"},
      {"activations", "activations", m.activations, plan.batch},
      {"logits", "logits", m.head, "a chunk and what the head keeps"},
      {"kv_cache", "KV cache", m.kv_cache,
       fmt::format("{} a sequence of full length, {} for all in flight", format_bytes(m.kv_cache_one_sequence),
                   format_bytes(m.kv_cache_wanted))},
      {"host", "staging", m.host, "single tensors while loading and saving"},
      {"process", "runtime", plan.process,
       on_cuda ? "an allowance for CUDA and its libraries" : "code, libraries, tokenizer, data: as in this process"},
  };
}

std::string generator_text(const JobPlan& plan) {
  const MemoryPlan& m = plan.generator;
  std::string text = fmt::format("generators   {} rank{}, each {}: weights {}, KV cache {}, activations {}, the rest as above",
                                 plan.num_generators, plan.num_generators == 1 ? "" : "s", format_bytes(plan.generator_needed()),
                                 format_bytes(m.weights), format_bytes(m.kv_cache), format_bytes(m.activations));
  if (plan.device_memory) {
    const double left = *plan.device_memory - plan.generator_needed();
    text += left >= 0 ? fmt::format(": fits, {} left", format_bytes(left)) : fmt::format(": too big by {}", format_bytes(-left));
  }
  return text + "\n";
}

std::string memory_text(const JobPlan& plan) {
  std::string text =
      fmt::format("memory of a {}, at its highest ({})\n", plan.num_generators > 0 ? "trainer" : "rank", plan.memory.peak_phase);
  for (const MemoryLine& line : memory_lines(plan)) {
    if (line.bytes < 1024) continue;
    text += fmt::format("  {:<16} {:>10}   {}\n", line.name, format_bytes(line.bytes), line.note);
  }
  if (plan.memory.head < 1024)
    text += fmt::format("  {:<16} {:>10}   the largest chunk, at another moment\n", "(logits)", format_bytes(plan.memory.logits_chunk));
  text += fmt::format("  {:<16} {:>10}", "in all", format_bytes(plan.needed()));
  if (plan.device_memory) {
    const double left = *plan.device_memory - plan.needed();
    text += fmt::format("   of {} ({}): {}", format_bytes(*plan.device_memory), plan.device_memory_origin,
                        left >= 0 ? fmt::format("fits, {} left", format_bytes(left)) : fmt::format("too big by {}", format_bytes(-left)));
  } else {
    text += "   --device-memory SIZE says whether that fits";
  }
  text += "\n";
  if (plan.memory.reuse >= 1024)
    text += fmt::format("  {:<16} {:>10}   freed blocks that are kept for reuse while there is room\n", "(beyond that)",
                        format_bytes(plan.memory.reuse));
  if (plan.num_generators > 0) text += generator_text(plan);
  if (!plan.fits()) text += fmt::format("to fit       {}\n", plan.advice);
  return text;
}

std::string communication_text(const JobPlan& plan, const StepTime& time) {
  const MemoryPlan& m = plan.memory;
  if (plan.num_ranks() == 1 || m.traffic() <= 0) return "";
  std::vector<std::string> parts;
  if (m.gradient_traffic > 0) parts.push_back(fmt::format("{} of gradients behind the backward passes", format_bytes(m.gradient_traffic)));
  if (m.value_traffic > 0) {
    parts.push_back(fmt::format("{} of weights behind {}", format_bytes(m.value_traffic),
                                plan.layout.find("ZeRO-3") != std::string::npos ? "the layer before" : "the next forward pass"));
  }
  if (m.rollout_traffic > 0)
    parts.push_back(fmt::format("{} {}", format_bytes(m.rollout_traffic),
                                plan.num_generators > 0 ? "of weights to the generators" : "to gather the weights for the rollout"));
  std::string text = fmt::format("traffic      {} sent by a rank in a step: {}\n", format_bytes(m.traffic()), join(parts, ", "));
  if (plan.nodes > 1) {
    const double across = static_cast<double>(plan.num_ranks() - plan.ranks_per_node) / (plan.num_ranks() - 1);
    text += fmt::format("             {:.0f} % of it leaves the node\n", 100 * across);
  }
  text += fmt::format("             hidden when a rank sends {}/s or more", format_bytes(time.link_needed));
  if (plan.speed.link_bandwidth > 0) {
    text += fmt::format("; at {}/s it takes {}, {} of it not hidden", format_bytes(plan.speed.link_bandwidth),
                        format_seconds(time.communication), format_seconds(time.exposed));
  }
  return text + "\n";
}

std::string time_text(const JobPlan& plan, const StepTime& time) {
  if (plan.speed.peak_flops <= 0) return "";
  const std::string peak = fmt::format("{:.4g} TFLOP/s a rank, {}", plan.speed.peak_flops / 1e12, plan.speed.origin);
  std::vector<std::string> parts;
  if (time.compute > 0)
    parts.push_back(fmt::format("{} computing at {:.0f} % of {}{}", format_seconds(time.compute), 100 * kFractionOfPeak, peak,
                                plan.recompute_factor > 1 ? ", recompute included" : ""));
  if (time.generation > 0) {
    parts.push_back(fmt::format("{} generating {} tokens at most{}", format_seconds(time.generation), format_count(plan.generated_tokens),
                                plan.speed.memory_bandwidth > 0 ? fmt::format(" ({:.0f} % of {}/s)", 100 * kFractionOfBandwidth,
                                                                              format_bytes(plan.speed.memory_bandwidth))
                                                                : " (arithmetic alone: --memory-bandwidth is not given)"));
  }
  if (time.exposed > 0) parts.push_back(fmt::format("{} waiting for other ranks", format_seconds(time.exposed)));
  if (plan.steps == 0) return fmt::format("time         about {}: {}\n", format_seconds(time.total()), join(parts, ", "));
  return fmt::format("time         about {}: {} steps of {}: {}\n", format_seconds(time.total() * static_cast<double>(plan.steps)),
                     plan.steps, format_seconds(time.total()), join(parts, ", "));
}

std::string disk_text(const JobPlan& plan) {
  if (plan.model_bytes == 0) return "";
  std::string text = fmt::format("disk         {}: {} for the model", format_bytes(static_cast<double>(plan.disk_bytes())),
                                 format_bytes(static_cast<double>(plan.model_bytes)));
  if (plan.num_checkpoints > 0)
    text += fmt::format(", {} checkpoints of {}", plan.num_checkpoints, format_bytes(static_cast<double>(plan.checkpoint_bytes)));
  return text + fmt::format("; {} free\n", format_bytes(static_cast<double>(plan.free_disk)));
}

}  // namespace

StepTime step_time(const JobPlan& plan) {
  StepTime time;
  const RankSpeed& speed = plan.speed;
  if (speed.peak_flops <= 0) return time;
  time.compute = plan.step_flops * plan.recompute_factor / (kFractionOfPeak * speed.peak_flops);
  time.generation = plan.generation_flops / (kFractionOfPeak * speed.peak_flops);
  if (speed.memory_bandwidth > 0)
    time.generation = std::max(time.generation, plan.generation_bytes / (kFractionOfBandwidth * speed.memory_bandwidth));
  const double hidden = plan.memory.gradient_traffic + plan.memory.value_traffic;
  if (time.compute > 0) time.link_needed = hidden / time.compute;
  if (speed.link_bandwidth > 0) {
    time.communication = plan.memory.traffic() / speed.link_bandwidth;
    time.exposed = std::max(0.0, hidden / speed.link_bandwidth - time.compute) + plan.memory.rollout_traffic / speed.link_bandwidth;
  }
  return time;
}

std::string to_text(const JobPlan& plan) {
  const StepTime time = step_time(plan);
  std::string text = fmt::format("PLAN  {} on {} node{} × {} rank{}{}\n", plan.program, plan.nodes, plan.nodes == 1 ? "" : "s",
                                 plan.ranks_per_node, plan.ranks_per_node == 1 ? "" : "s", plan.layout.empty() ? "" : ", " + plan.layout);
  text += fmt::format("model        {}, {} parameters\n", plan.model, format_count(plan.memory.num_parameters));
  if (!plan.data.empty()) text += fmt::format("data         {}\n", plan.data);
  for (const auto& [name, line] : plan.more) text += fmt::format("{:<12} {}\n", name, line);
  return text + memory_text(plan) + communication_text(plan, time) + time_text(plan, time) + disk_text(plan);
}

std::string to_json(const JobPlan& plan) {
  const StepTime time = step_time(plan);
  const auto whole = [](double value) { return static_cast<std::int64_t>(value + 0.5); };
  Json memory = Json::object();
  for (const MemoryLine& line : memory_lines(plan)) memory[line.key] = whole(line.bytes);
  memory["allocated_peak"] = whole(plan.memory.allocated_peak);
  memory["needed"] = whole(plan.needed());
  memory["kept_for_reuse"] = whole(plan.memory.reuse);
  memory["peak_phase"] = plan.memory.peak_phase;
  memory["logits_chunk"] = whole(plan.memory.logits_chunk);
  memory["device_memory"] = plan.device_memory ? Json(whole(*plan.device_memory)) : Json();
  if (plan.num_generators > 0) {
    memory["generators"] = {{"ranks", plan.num_generators},
                            {"weights", whole(plan.generator.weights)},
                            {"kv_cache", whole(plan.generator.kv_cache)},
                            {"activations", whole(plan.generator.activations)},
                            {"needed", whole(plan.generator_needed())}};
  }
  memory["fits"] = plan.device_memory ? Json(plan.fits()) : Json();
  memory["to_fit"] = plan.advice.empty() ? Json() : Json(plan.advice);
  Json more = Json::object();
  for (const auto& [name, line] : plan.more) more[name] = line;
  const Json json = {{"program", plan.program},
                     {"model", plan.model},
                     {"num_parameters", whole(plan.memory.num_parameters)},
                     {"data", plan.data},
                     {"nodes", plan.nodes},
                     {"ranks_per_node", plan.ranks_per_node},
                     {"layout", plan.layout},
                     {"batch", plan.batch},
                     {"memory_bytes_per_rank", memory},
                     {"communication",
                      {{"gradient_bytes_per_step", whole(plan.memory.gradient_traffic)},
                       {"weight_bytes_per_step", whole(plan.memory.value_traffic)},
                       {"rollout_bytes_per_step", whole(plan.memory.rollout_traffic)},
                       {"hidden_from_bytes_per_second", whole(time.link_needed)}}},
                     {"time",
                      {{"steps", plan.steps},
                       {"compute_seconds_per_step", time.compute},
                       {"generation_seconds", time.generation},
                       {"exposed_communication_seconds_per_step", time.exposed},
                       {"total_seconds", time.total() * static_cast<double>(std::max<std::int64_t>(plan.steps, 1))},
                       {"flops_per_step_and_rank", plan.step_flops},
                       {"peak_flops", plan.speed.peak_flops},
                       {"peak_origin", plan.speed.origin}}},
                     {"disk",
                      {{"output_dir", plan.output_dir},
                       {"bytes", plan.disk_bytes()},
                       {"model_bytes", plan.model_bytes},
                       {"checkpoint_bytes", plan.checkpoint_bytes},
                       {"num_checkpoints", plan.num_checkpoints},
                       {"free_bytes", plan.free_disk}}},
                     {"more", more}};
  return to_json_line(json) + "\n";
}

std::string refusal(const JobPlan& plan) {
  return fmt::format("out of memory before it starts: a rank needs {} of {} ({}). {}",
                     format_bytes(std::max(plan.needed(), plan.generator_needed())), format_bytes(plan.device_memory.value_or(0)),
                     plan.device_memory_origin, plan.advice);
}

void require_memory(const JobPlan& plan, int ranks_on_host) {
  const auto refuse = [&](double there, double needed, const std::string& what) {
    if (needed <= there) return;
    fail(ErrorKind::kMemory, "out of memory before it starts: a rank needs {}, {} {}. The plan:\n{}", format_bytes(needed), what,
         format_bytes(there), to_text(plan));
  };
  if (const auto left = address_space_left()) {
    refuse(static_cast<double>(*left), plan.memory.needed(), "and the process's limit on its address space (ulimit -v) leaves");
  }
  // The cache takes what is left; pages that nobody writes are none.
  const double certain = plan.memory.needed() - plan.memory.kv_cache + plan.memory.kv_cache_one_sequence;
  refuse(machine_bytes() / ranks_on_host, certain + plan.process, ranks_on_host == 1 ? "the machine has" : "its part of the machine is");
}

void print_plan(const config::CommonConfig& config, const JobPlan& plan, const std::string& below) {
  if (config.plan_format == config::PlanFormat::kJson) {
    fmt::print("{}", to_json(plan));
  } else {
    fmt::print("{}{}\n{}", to_text(plan), below, config::print_effective_configuration(config));
  }
  std::fflush(stdout);
  if (!plan.fits()) fail(ErrorKind::kMemory, "{}", refusal(plan));
}

}  // namespace r1::plan
