#include "eval/run_bench.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>

#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/signals.h"
#include "base/strings.h"
#include "checkpoint/inference_model.h"
#include "comm/device_communicator.h"
#include "config/loader.h"
#include "engine/rank_layout.h"
#include "engine/work_queue.h"
#include "eval/bench_report.h"
#include "eval/bench_setup.h"
#include "eval/compare_results.h"
#include "eval/results.h"
#include "generate/sample_runner.h"
#include "generate/sampling_choice.h"
#include "ops/device_context.h"

namespace r1::eval {
namespace {

double seconds_since_1970() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// Samples of every job lie in a folder of their own: another seed or another model is another job, and what is finished stays usable.
std::string journal_folder(const config::BenchConfig& config, const PreparedTask& prepared) {
  Xxh3Stream hash;
  hash.update(prepared.job.dump());
  return fmt::format("{}/journal/{}/{}", config.output_dir, model_path_of(config.model), hash.hex_digest().substr(0, 16));
}

/// The model in memory with its engine, for all tasks.
class Sampler {
 public:
  Sampler(const config::BenchConfig& config, const BenchSetup& setup, comm::World& world)
      : setup_(setup),
        max_num_sequences_(config.max_num_sequences),
        world_(world),
        ctx_(ops::make_context(setup.device, config.num_threads)),
        gpu_ranks_(
            comm::make_device_communicator(*ctx_, world.communicator(), config.tensor_parallel_size * config.pipeline_parallel_size)),
        ranks_(gpu_ranks_ ? *gpu_ranks_ : world.communicator(), config.tensor_parallel_size, config.pipeline_parallel_size) {
    ops::set_batch_invariant(*ctx_, config.batch_invariant);
    if (setup.device.kind == DeviceKind::kCpu) {  // a GPU's is told by its allocator
      generate::require_generation_memory(config, generation_job(config, setup), ctx_->threads().num_threads(),
                                          world.topology().local_size);
    }
    loaded_ = checkpoint::load_inference_model(*ctx_, setup.model_folder, generate::weight_storage(config.dtype),
                                               {ranks_.tensor_rank(), ranks_.tensor_size(), ranks_.stage(), ranks_.num_stages()});
    engine::EngineOptions options;
    options.seed = static_cast<std::uint64_t>(config.seed);
    options.max_model_len = setup.max_model_len;
    options.kv_cache_bytes = config.kv_cache_memory ? config.kv_cache_memory->bytes : 0;
    options.enforce_eager = config.enforce_eager;
    options.max_num_sequences = config.max_num_sequences;
    options.ranks_sharing_memory = comm::ranks_sharing_memory(*ctx_, world.communicator(), world.topology().local_size);
    options.ranks = &ranks_;
    options.wants_to_stop = signals::stop_requested;
    engine_ = std::make_unique<engine::Engine>(*ctx_, *loaded_->model, *loaded_->runner, &*setup.tokenizer, options);
    log::info("model: {}, {} parameters{}, {} of weights, {} threads", setup.model_config.model_type,
              format_count(static_cast<double>(loaded_->model->parameters().num_elements())), ranks_.is_alone() ? "" : " on this rank",
              format_bytes(static_cast<double>(loaded_->store->num_bytes())), ctx_->threads().num_threads());
  }

  /// Collective.
  void run(const PreparedTask& prepared, generate::SampleJournal& journal) {
    log::info("{}: {} problems × {} samples", prepared.task.name, prepared.grid.num_rows, prepared.num_samples);
    generate::SamplingJob job;
    job.prompt = [&](std::int64_t row) { return prepared.ids[static_cast<std::size_t>(row)]; };
    job.params = [params = std::make_shared<const engine::SamplingParams>(setup_.params)](std::int64_t) { return params; };
    job.max_model_len = setup_.max_model_len;
    job.max_resident = max_num_sequences_;
    job.ranks = &ranks_;
    engine::WorkQueue queue(world_.communicator(), prepared.grid.num_items());
    report::Progress progress({.unit = "sample"});
    const auto begin = std::chrono::steady_clock::now();
    generate::run_samples(*engine_, job, generate::take_shared(*ctx_, queue, ranks_), journal, [&](const generate::SamplingProgress& now) {
      progress.update(generate::progress_state(now, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()));
    });
    progress.finish();
  }

 private:
  const BenchSetup& setup_;
  int max_num_sequences_;
  comm::World& world_;
  std::unique_ptr<ExecContext> ctx_;
  std::unique_ptr<comm::Communicator> gpu_ranks_;  // null: those of the world
  engine::RankLayout ranks_;
  std::unique_ptr<checkpoint::InferenceModel> loaded_;
  std::unique_ptr<engine::Engine> engine_;
};

std::vector<generate::SampleRecord> all_records(const generate::SampleJournal& journal) {
  std::vector<generate::SampleRecord> records;
  for (std::int64_t part = 0; part < journal.grid().num_parts(); ++part) {
    for (generate::SampleRecord& record : journal.read_part(part)) records.push_back(std::move(record));
  }
  return records;
}

Json general_facts(const config::BenchConfig& config, const BenchSetup& setup) {
  const Json& job = setup.tasks.front().job;
  Json facts{{"lighteval_sha", "open-r1-hpc " + std::string(config::suite_version())},
             {"num_fewshot_seeds", 1},
             {"max_samples", config.max_samples ? Json(*config.max_samples) : Json()},
             {"model_revision", config.model_revision}};
  for (const char* key : {"model_hash", "tokenizer_hash", "chat_template_hash", "weight_storage", "profile", "temperature", "top_p",
                          "top_k", "min_p", "repetition_penalty", "max_new_tokens", "max_model_len", "stop_token_ids", "seed"}) {
    facts[key] = job[key];
  }
  return facts;
}

}  // namespace

void run_bench(const config::BenchConfig& config, comm::World& world) {
  const bool is_first_rank = world.rank() == 0;
  if (!config.compare.empty()) {
    if (is_first_rank) compare_results(config);
    return;
  }
  RunFacts facts;
  facts.start_time = seconds_since_1970();
  const BenchSetup setup = prepare_bench(config, world.communicator());
  if (config.planning()) {
    if (is_first_rank) print_bench_plan(config, setup);
    return;
  }

  std::vector<std::unique_ptr<generate::SampleJournal>> journals;
  bool is_complete = true;
  for (const PreparedTask& prepared : setup.tasks) {
    journals.push_back(
        std::make_unique<generate::SampleJournal>(journal_folder(config, prepared), prepared.job, prepared.grid, world.rank()));
    const std::int64_t finished = journals.back()->num_finished();
    is_complete = is_complete && finished == prepared.grid.num_items();
    if (finished > 0) {
      log::notice("{}: {} of {} samples are finished already; going on with the others", prepared.task.name, finished,
                  prepared.grid.num_items());
    }
  }
  std::vector<bool> needs_samples;
  for (const auto& journal : journals) needs_samples.push_back(journal->num_finished() < journal->grid().num_items());
  world.communicator().barrier("journals read");  // before any rank appends

  if (!is_complete) {
    Sampler sampler(config, setup, world);
    for (std::size_t i = 0; i < journals.size(); ++i)
      if (needs_samples[i]) sampler.run(setup.tasks[i], *journals[i]);
  }
  for (const char stopped : world.communicator().host_gather_value<char>(signals::stop_requested() ? 1 : 0, "samples complete")) {
    if (stopped != 0) throw signals::Stopped();
  }
  if (!is_first_rank) return;

  std::vector<ScoredTask> scored;
  for (std::size_t i = 0; i < journals.size(); ++i) scored.push_back(score_task(setup.tasks[i], all_records(*journals[i])));
  facts.model = config.model;
  facts.timestamp = timestamp_now();
  facts.end_time = seconds_since_1970();
  facts.general = general_facts(config, setup);
  const std::string path = write_results(config.output_dir, facts, setup.tasks, scored);
  write_bench_report(config, setup.tasks, scored, facts.timestamp);
  print_scores(setup.tasks, scored);
  log::info("results: {}", path);
}

}  // namespace r1::eval
