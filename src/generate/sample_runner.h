// Keeps an engine busy with the samples of a job until all of them are in the journal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/rank_layout.h"
#include "engine/work_queue.h"
#include "generate/sample_journal.h"
#include "report/progress.h"

namespace r1::generate {

/// The prompt of a row as token ids; called once per row and rank. May throw Error(kData).
using PromptSource = std::function<std::vector<std::int32_t>(std::int64_t row)>;

/// The next up to `count` items (row * num_samples + sample) for this rank, ascending; an empty range at the end. A shared queue hands
/// each item to one rank.
struct ItemRange {
  std::int64_t begin = 0, end = 0;
};
using TakeItems = std::function<ItemRange(std::int64_t count)>;

/// All items for one rank alone.
TakeItems take_all(std::int64_t num_items);
/// From a queue that all ranks share: the leader of each group of ranks takes, and all ranks of the group get the same items. All three
/// outlive the result.
TakeItems take_shared(const ExecContext& ctx, engine::WorkQueue& queue, engine::RankLayout& ranks);

struct SamplingJob {
  PromptSource prompt;
  std::function<std::shared_ptr<const engine::SamplingParams>(std::int64_t row)> params;
  std::int64_t max_model_len = 0;
  int max_resident = 256;               // samples in the engine at a time: its max_num_sequences
  engine::RankLayout* ranks = nullptr;  // null: one rank alone
};

struct SamplingProgress {
  std::int64_t finished = 0, total = 0;  // samples
  std::int64_t new_tokens = 0;           // of this rank and run
  const engine::EngineStats* engine = nullptr;
};

/// A prompt that leaves no room for a token within max_model_len becomes an empty sample with finish_reason prompt_too_long.
/// In a group of ranks the leader alone writes. on_progress is called after each step of the engine. Returns when this rank's share is in
/// the journal and on disk.
void run_samples(engine::Engine& engine, const SamplingJob& job, const TakeItems& take, SampleJournal& journal,
                 const std::function<void(const SamplingProgress&)>& on_progress);

/// What the progress line of a sampling run shows after so many seconds.
report::ProgressState progress_state(const SamplingProgress& progress, double seconds);

}  // namespace r1::generate
