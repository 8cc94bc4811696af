#include "engine/decode_graphs.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "ops/copy.h"

namespace r1::engine {
namespace {

std::int64_t power_of_two(std::int64_t value) { return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(value))); }

}  // namespace

std::unique_ptr<DecodeGraphs> DecodeGraphs::make(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner,
                                                 const KvCache& cache, const DecodeGraphOptions& options) {
  if (ctx.recorder() == nullptr || !runner.values_stay() || options.block_size < kMaxFill) return nullptr;
  return std::unique_ptr<DecodeGraphs>(new DecodeGraphs(ctx, model, runner, cache, options));
}

DecodeGraphs::DecodeGraphs(const ExecContext& ctx, models::CausalLM& model, nn::UnitRunner& runner, const KvCache& cache,
                           const DecodeGraphOptions& options)
    : ctx_(ctx),
      model_(model),
      runner_(runner),
      cache_(cache),
      options_(options),
      own_(ctx.with_own_allocator()),
      reclaimer_(ctx.allocator().add_reclaimer([this] { return give_back(); })) {}

bool DecodeGraphs::are_decode_steps(std::span<const ScheduledChunk> chunks) {
  return std::ranges::all_of(
      chunks, [](const ScheduledChunk& chunk) { return chunk.num_tokens == 1 && chunk.draws() && chunk.sequence->has_generated(); });
}

DecodeGraphs::Shape DecodeGraphs::shape_of(std::span<const ScheduledChunk> chunks) const {
  const auto rows = static_cast<std::int64_t>(chunks.size());
  std::int64_t blocks = 1;
  for (const ScheduledChunk& chunk : chunks) blocks = std::max(blocks, static_cast<std::int64_t>(chunk.sequence->blocks.size()));
  return {rows <= 4 ? power_of_two(rows) : (rows + kMaxFill) / (kMaxFill + 1) * (kMaxFill + 1), power_of_two(blocks)};
}

void DecodeGraphs::reserve_logits(std::int64_t num_rows) {
  if (logits_.defined() && logits_.dim(0) >= num_rows) return;
  forget();
  logits_ = Tensor();
  logits_ = ctx_.empty({power_of_two(num_rows), model_.config().vocab_size});
}

DecodeGraphs::Graph DecodeGraphs::make_graph(const Shape& shape) const {
  const std::int64_t n = shape.num_rows;
  Graph graph;
  graph.tables = ctx_.empty({5 * n + 1 + n * shape.blocks_each}, DType::kI32);
  std::int64_t at = 0;
  const auto next = [&](r1::Shape dims) {
    at += dims.num_elements();
    return graph.tables.slice(at - dims.num_elements(), dims);
  };
  graph.batch.input_ids = next({n});
  graph.batch.position_ids = next({n});
  auto paged = std::make_shared<nn::PagedCache>();
  paged->layers = cache_.layers();
  paged->slot_mapping = next({n});
  paged->context_lens = next({n});
  const Tensor cu_seqlens = next({n + 1});
  paged->block_tables = next({n, shape.blocks_each});
  graph.batch.attention = nn::AttentionContext::paged(cu_seqlens, std::move(paged));
  graph.batch.num_positions = options_.max_model_len;
  const nn::Rotary& rotary = model_.reserve_positions(ctx_, options_.max_model_len);
  graph.cos = rotary.cos();
  graph.sin = rotary.sin();
  graph.logits = logits_.rows(0, n);
  return graph;
}

// In the order of make_graph().
void DecodeGraphs::fill(Graph& graph, const Shape& shape, std::span<const ScheduledChunk> chunks) const {
  BatchTables tables = batch_tables(chunks, options_.block_size, shape.blocks_each);
  const auto rows = static_cast<std::int64_t>(chunks.size());
  for (std::int64_t row = rows; row < shape.num_rows; ++row) {  // token 0 at position 0 of the spare block, each in a slot of its own
    tables.input_ids.push_back(0);
    tables.position_ids.push_back(0);
    tables.slot_mapping.push_back(static_cast<std::int32_t>(options_.spare_block * options_.block_size + row - rows));
    tables.context_lens.push_back(1);
    tables.cu_seqlens.push_back(static_cast<std::int32_t>(row + 1));
    tables.block_tables.insert(tables.block_tables.end(), static_cast<std::size_t>(shape.blocks_each), -1);
    tables.block_tables[static_cast<std::size_t>(row * shape.blocks_each)] = static_cast<std::int32_t>(options_.spare_block);
  }
  std::vector<std::int32_t> all;
  for (const auto* part :
       {&tables.input_ids, &tables.position_ids, &tables.slot_mapping, &tables.context_lens, &tables.cu_seqlens, &tables.block_tables}) {
    all.insert(all.end(), part->begin(), part->end());
  }
  ops::from_host(ctx_, Tensor::host_from<std::int32_t>(all, graph.tables.shape(), DType::kI32), graph.tables);
}

void DecodeGraphs::run(Graph& graph) {
  nn::Pass pass{*own_, runner_};
  const nn::Activations state = model_.decode(pass, graph.batch, {});
  model_.logits_into(pass, state, graph.logits);
}

// A driver or library that refuses costs speed, not the run.
void DecodeGraphs::record(Graph& graph) {
  try {
    graph.work = ctx_.recorder()->record([&] { run(graph); });
  } catch (const Error& error) {
    has_failed_ = true;
    log::warning("decode steps cannot be recorded ({}): they are launched op by op, as with --enforce_eager", error.what());
  }
}

bool DecodeGraphs::give_back() {
  const std::int64_t before = own_->allocator().stats().bytes_reserved;
  if (is_running_) return false;
  graphs_.clear();
  own_->allocator().trim();
  return own_->allocator().stats().bytes_reserved < before;
}

// The first run leaves the memory that it took with own_, and chosen algorithms with the libraries.
void DecodeGraphs::run_first(Graph& graph, const Shape& shape, std::span<const ScheduledChunk> chunks) {
  graph = make_graph(shape);
  fill(graph, shape, chunks);
  run(graph);
}

Tensor DecodeGraphs::logits(std::span<const ScheduledChunk> chunks) {
  const Shape shape = shape_of(chunks);
  reserve_logits(shape.num_rows);
  const Running running(is_running_);
  auto place = graphs_.find(shape);
  if (place == graphs_.end()) {
    try {
      run_first(graphs_[shape], shape, chunks);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kMemory) throw;
      // Recordings of other shapes, and what the context keeps for ops of another kind, may be room enough.
      forget();
      own_->allocator().trim();
      ctx_.allocator().trim();
      run_first(graphs_[shape], shape, chunks);
    }
    place = graphs_.find(shape);
    return place->second.logits.rows(0, static_cast<std::int64_t>(chunks.size()));
  }
  Graph& graph = place->second;
  fill(graph, shape, chunks);
  if (graph.work == nullptr && !has_failed_) record(graph);
  if (graph.work != nullptr) {
    graph.work->replay();
    ++num_replays_;
  } else {
    run(graph);
  }
  return graph.logits.rows(0, static_cast<std::int64_t>(chunks.size()));
}

}  // namespace r1::engine
