#include "generate/sample_runner.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/signals.h"

namespace r1::generate {
namespace {

SampleRecord to_record(engine::Completion completion) {
  SampleRecord record;
  record.row = static_cast<std::int64_t>(completion.row_id);
  record.sample = static_cast<std::int32_t>(completion.sample);
  record.text = std::move(completion.text);
  record.ids = std::move(completion.ids);
  switch (completion.finish_reason) {
    case engine::FinishReason::kStop:
      record.finish_reason = "stop";
      break;
    case engine::FinishReason::kMaxNewTokens:
      record.finish_reason = "length";
      break;
    case engine::FinishReason::kMaxModelLen:
      record.finish_reason = "length (max_model_len)";
      break;
  }
  return record;
}

/// Feeds the engine: rows are read as they are needed, the samples of a row share its prompt.
class Feeder {
 public:
  Feeder(engine::Engine& engine, const SamplingJob& job, const TakeItems& take, SampleJournal& journal)
      : engine_(engine), job_(job), take_(take), journal_(journal), num_groups_(job.ranks != nullptr ? job.ranks->num_groups() : 1) {}

  void fill() {
    while (!exhausted_ && in_flight_ < job_.max_resident) {
      const ItemRange items = take_(count_to_take());
      if (items.begin >= items.end) {
        exhausted_ = true;
        return;
      }
      next_ = items.end;
      for (std::int64_t item = items.begin; item < items.end; ++item) start(item);
    }
  }
  void finished(SampleRecord record) {
    --in_flight_;
    write(std::move(record));
  }

 private:
  void write(const SampleRecord& record) {
    if (job_.ranks == nullptr || job_.ranks->is_leader()) journal_.append(record);
  }

  /// A whole row at a time, so that its samples share a prefill; towards the end single samples, so that no group of ranks idles behind
  /// another.
  std::int64_t count_to_take() const {
    const std::int64_t num_samples = journal_.grid().num_samples;
    const std::int64_t left = journal_.grid().num_items() - next_;
    const bool is_end = left < std::int64_t{num_groups_} * job_.max_resident && num_groups_ > 1;
    return is_end ? 1 : num_samples - next_ % num_samples;
  }

  void start(std::int64_t item) {
    const std::int64_t num_samples = journal_.grid().num_samples;
    const std::int64_t row = item / num_samples;
    const auto sample = static_cast<std::int32_t>(item % num_samples);
    if (journal_.has(row, sample)) return;
    if (row != row_) {
      prompt_ = std::make_shared<const std::vector<std::int32_t>>(job_.prompt(row));
      params_ = job_.params(row);
      row_ = row;
    }
    if (static_cast<std::int64_t>(prompt_->size()) >= job_.max_model_len) {
      write({row, sample, "", "prompt_too_long", {}});
      return;
    }
    engine_.add({static_cast<std::uint64_t>(row), static_cast<std::uint32_t>(sample), prompt_, params_, {}});
    ++in_flight_;
  }

  engine::Engine& engine_;
  const SamplingJob& job_;
  const TakeItems& take_;
  SampleJournal& journal_;
  int num_groups_;
  std::int64_t in_flight_ = 0, next_ = 0, row_ = -1;
  bool exhausted_ = false;
  std::shared_ptr<const std::vector<std::int32_t>> prompt_;
  std::shared_ptr<const engine::SamplingParams> params_;
};

}  // namespace

TakeItems take_all(std::int64_t num_items) {
  return [num_items, next = std::int64_t{0}](std::int64_t count) mutable {
    const std::int64_t begin = next;
    next = std::min(num_items, next + count);
    return ItemRange{begin, next};
  };
}

TakeItems take_shared(const ExecContext& ctx, engine::WorkQueue& queue, engine::RankLayout& ranks) {
  return [&](std::int64_t count) {
    engine::WorkQueue::Items items;
    if (ranks.is_leader()) items = queue.take(count);
    std::vector<std::int64_t> borders{items.begin, items.end};
    ranks.share_from_leader(ctx, borders);
    return ItemRange{borders[0], borders[1]};
  };
}

void run_samples(engine::Engine& engine, const SamplingJob& job, const TakeItems& take, SampleJournal& journal,
                 const std::function<void(const SamplingProgress&)>& on_progress) {
  SamplingProgress progress;
  progress.total = journal.grid().num_items();
  progress.engine = &engine.stats();
  Feeder feeder(engine, job, take, journal);
  const bool is_in_group = job.ranks != nullptr && !job.ranks->is_alone();
  while (true) {
    feeder.fill();
    if (!engine.has_unfinished()) break;
    if (is_in_group ? engine.stop_agreed() : signals::stop_requested()) {
      journal.sync();
      if (!is_in_group && (job.ranks == nullptr || job.ranks->num_groups() == 1)) throw signals::Stopped();
      break;  // the ranks stop together, after this call
    }
    for (engine::Completion& completion : engine.step()) {
      progress.new_tokens += static_cast<std::int64_t>(completion.ids.size());
      feeder.finished(to_record(std::move(completion)));
    }
    progress.finished = journal.num_finished();
    if (on_progress) on_progress(progress);
  }
  journal.sync();
}

report::ProgressState progress_state(const SamplingProgress& progress, double seconds) {
  const engine::EngineStats& stats = *progress.engine;
  const auto drawn = static_cast<double>(stats.decode_tokens);
  report::ProgressState state;
  state.done = progress.finished;
  state.total = progress.total;
  state.tokens_per_second = drawn / std::max(seconds, 1e-9);
  state.more.emplace_back("running", std::to_string(stats.running));
  state.more.emplace_back("occupancy",
                          fmt::format("{:.0f} %", 100.0 * (1.0 - static_cast<double>(stats.idle_slot_steps) /
                                                                     static_cast<double>(std::max<std::int64_t>(stats.slot_steps, 1)))));
  state.more.emplace_back("KV",
                          fmt::format("{:.0f} %", 100.0 * static_cast<double>(stats.used_blocks) / static_cast<double>(stats.num_blocks)));
  return state;
}

}  // namespace r1::generate
