#include "parallel/sharded_store.h"

#include <algorithm>
#include <cmath>
#include <exception>

#include "base/error.h"
#include "ops/cast.h"
#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"
#include "parallel/host_bf16.h"
#include "parallel/unit_cuts.h"

namespace r1::parallel {
namespace {

// Exchanges under way while the backward pass goes on: one more unit's scratch each.
constexpr std::size_t kExchangesUnderWay = 1;

comm::ElementRange intersect(comm::ElementRange a, comm::ElementRange b) {
  const std::int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

std::int64_t bytes_of(const Tensor& tensor) { return tensor.defined() ? static_cast<std::int64_t>(tensor.num_bytes()) : 0; }

}  // namespace

ShardedStore::ShardedStore(const ExecContext& ctx, nn::ParameterSet& parameters, comm::Communicator& communicator,
                           const StoreOptions& options)
    : ctx_(ctx), parameters_(parameters), communicator_(communicator), options_(options) {
  const auto zeros = [&](Range range) {
    Tensor tensor = ctx_.empty({range.size()});
    ops::fill(ctx_, tensor, 0);
    return tensor;
  };
  for (int u = 0; u < static_cast<int>(parameters.units().size()); ++u) {
    UnitState& state = units_.emplace_back();
    state.name = parameters.units()[static_cast<std::size_t>(u)].name;
    state.num_elements = parameters.units()[static_cast<std::size_t>(u)].num_elements;
    state.cuts = cut_unit(parameters, u, num_ranks());
    for (int r = 0; r < num_ranks(); ++r)
      state.counts.push_back(state.cuts[static_cast<std::size_t>(r) + 1] - state.cuts[static_cast<std::size_t>(r)]);
    const auto rank = static_cast<std::size_t>(communicator.rank());
    state.own = {state.cuts[rank], state.cuts[rank + 1]};
    const Range whole{0, state.num_elements};
    state.working_range = options.sharding == Sharding::kZero3 ? state.own : whole;
    state.value_range = splits_values() ? state.own : whole;
    state.state_range = options.sharding == Sharding::kReplicated ? whole : state.own;
    state.values = zeros(state.value_range);
    if (has_working_copy()) {
      state.working = ctx_.empty({state.working_range.size()}, options.working_dtype);
      ops::fill(ctx_, state.working, 0);
    }
    if (options.optimizer_state == OptimizerState::kAdamW) {
      state.exp_avg = zeros(state.state_range);
      state.exp_avg_sq = zeros(state.state_range);
    }
  }
}

ShardedStore::~ShardedStore() {
  if (std::uncaught_exceptions() > 0) return;  // the other ranks may not follow
  for (Exchange& exchange : exchanges_) exchange.work.wait();
  for (UnitState& state : units_) state.gradient_transfer.wait();
}

void ShardedStore::count_scratch(std::int64_t bytes) {
  scratch_bytes_ += bytes;
  scratch_peak_ = std::max(scratch_peak_, scratch_bytes_);
}

std::int64_t ShardedStore::num_present(std::int64_t micro_step) const {
  if (num_micro_batches_ == kUnknown) return 1;
  return std::clamp<std::int64_t>(num_micro_batches_ - micro_step * num_ranks(), 0, num_ranks());
}

void ShardedStore::begin_step(std::int64_t num_micro_batches) {
  R1_ASSERT(num_micro_batches != kUnknown || num_ranks() == 1, "several ranks must know the step's number of micro-batches");
  finish_gradients();
  num_micro_batches_ = num_micro_batches;
  num_micro_steps_ = num_micro_batches == kUnknown ? kUnknown : (num_micro_batches + num_ranks() - 1) / num_ranks();
  micro_step_ = -1;
}

void ShardedStore::begin_micro_batch(std::int64_t global_index) {
  ++micro_step_;
  R1_ASSERT(global_index == micro_step_ * num_ranks() + communicator_.rank(), "micro-batches must come in order");
  is_idle_ = num_micro_batches_ != kUnknown && global_index >= num_micro_batches_;
}

void ShardedStore::begin_gradients(int unit_index) {
  UnitState& state = unit(unit_index);
  const bool is_first = micro_step_ <= 0;
  if (!state.gradients.defined()) state.gradients = ctx_.empty({state.state_range.size()});
  if (is_first && num_ranks() == 1) {
    state.scratch = state.gradients;  // the first micro-batch's gradient is the start of the sum: written in place
  } else if (is_first && adds_locally()) {
    state.scratch = state.gradients;
  } else {
    state.scratch = ctx_.empty({state.num_elements});
    count_scratch(bytes_of(state.scratch));
  }
  parameters_.bind_gradients(unit_index, state.scratch);
}

void ShardedStore::gradients_ready(int unit_index) {
  UnitState& state = unit(unit_index);
  parameters_.bind_gradients(unit_index, Tensor());
  const bool is_first = micro_step_ <= 0;
  if (num_ranks() == 1) {
    if (!is_first) {
      ops::add(ctx_, state.gradients, state.scratch, state.gradients);
      count_scratch(-bytes_of(state.scratch));
    }
    state.scratch = Tensor();
    return;
  }
  if (!adds_locally()) {
    exchanges_.push_back(options_.deterministic_reduction ? start_exchange(unit_index) : start_reduction(unit_index));
    while (exchanges_.size() > kExchangesUnderWay) {
      fold(exchanges_.front());
      exchanges_.pop_front();
    }
    return;
  }
  if (is_first) {
    if (is_idle_) ops::fill(ctx_, state.gradients, 0);
  } else {
    if (!is_idle_) ops::add(ctx_, state.gradients, state.scratch, state.gradients);
    count_scratch(-bytes_of(state.scratch));
  }
  state.scratch = Tensor();
  if (is_last_micro_step(micro_step_)) {
    state.gradient_transfer = communicator_.all_reduce(ctx_, state.gradients, comm::Reduce::kSum, state.name);
  }
}

// The first sum of a step arrives where it belongs, later ones beside it.
ShardedStore::Exchange ShardedStore::start_reduction(int unit_index) {
  UnitState& state = unit(unit_index);
  Exchange exchange;
  exchange.unit = unit_index;
  exchange.micro_step = micro_step_;
  exchange.scratch = std::exchange(state.scratch, Tensor());
  if (is_idle_) ops::fill(ctx_, exchange.scratch, 0);
  if (micro_step_ > 0) {
    exchange.received = ctx_.empty({state.own.size()});
    count_scratch(bytes_of(exchange.received));
  }
  Tensor& target = micro_step_ > 0 ? exchange.received : state.gradients;
  exchange.work = communicator_.reduce_scatter(ctx_, exchange.scratch, target, state.counts, state.name);
  return exchange;
}

ShardedStore::Exchange ShardedStore::start_exchange(int unit_index) {
  UnitState& state = unit(unit_index);
  const int rank = communicator_.rank();
  const std::int64_t present = num_present(micro_step_), own_size = state.own.size();
  Exchange exchange;
  exchange.unit = unit_index;
  exchange.micro_step = micro_step_;
  exchange.scratch = std::exchange(state.scratch, Tensor());
  const std::int64_t num_others = present - (is_idle_ ? 0 : 1);
  exchange.received = ctx_.empty({num_others * own_size});
  count_scratch(bytes_of(exchange.received));
  std::vector<Range> send(static_cast<std::size_t>(num_ranks())), receive(static_cast<std::size_t>(num_ranks()));
  std::int64_t begin = 0;
  for (int r = 0; r < num_ranks(); ++r) {
    const auto at = static_cast<std::size_t>(r);
    if (r == rank) continue;
    if (!is_idle_) send[at] = {state.cuts[at], state.cuts[at + 1]};
    if (r < present) {
      receive[at] = {begin, begin + own_size};
      begin += own_size;
    }
  }
  exchange.work = communicator_.all_to_all(ctx_, exchange.scratch, send, exchange.received, receive, state.name);
  return exchange;
}

void ShardedStore::fold(Exchange& exchange) {
  exchange.work.wait();
  if (options_.deterministic_reduction) return fold_in_order(exchange);
  UnitState& state = unit(exchange.unit);
  count_scratch(-bytes_of(exchange.scratch));
  if (!exchange.received.defined()) return;
  if (state.own.size() > 0) ops::add(ctx_, state.gradients, exchange.received, state.gradients);
  count_scratch(-bytes_of(exchange.received));
}

// ((g0 + g1) + g2) + … over the global indices of the micro-batches, on the piece that this rank owns.
void ShardedStore::fold_in_order(Exchange& exchange) {
  UnitState& state = unit(exchange.unit);
  const std::int64_t own_size = state.own.size(), present = num_present(exchange.micro_step);
  if (own_size > 0) {
    Tensor sum = own_gradients(state);
    std::int64_t begin = 0;
    for (int r = 0; r < present; ++r) {
      Tensor piece;
      if (r == communicator_.rank()) {
        piece = exchange.scratch.slice(state.own.begin, {own_size});
      } else {
        piece = exchange.received.slice(begin, {own_size});
        begin += own_size;
      }
      if (exchange.micro_step == 0 && r == 0) {
        ops::copy(ctx_, piece, sum);
      } else {
        ops::add(ctx_, sum, piece, sum);
      }
    }
  }
  count_scratch(-bytes_of(exchange.scratch) - bytes_of(exchange.received));
  if (options_.sharding == Sharding::kReplicated && is_last_micro_step(exchange.micro_step)) {
    const Tensor own = own_gradients(state);
    state.gradient_transfer = communicator_.all_gather(ctx_, own, state.gradients, state.counts, state.name);
  }
}

void ShardedStore::finish_gradients() {
  while (!exchanges_.empty()) {
    fold(exchanges_.front());
    exchanges_.pop_front();
  }
  for (UnitState& state : units_) state.gradient_transfer.wait();
}

void ShardedStore::visit_ranges(const ShardVisitor& visit, bool owned_only) {
  finish_gradients();
  finish_value_transfers();
  parameters_.for_each([&](nn::Parameter& parameter) {
    UnitState& state = unit(parameter.unit);
    const Range members{parameter.offset, parameter.offset + parameter.num_elements()};
    const Range range = intersect(members, owned_only ? state.own : state.state_range);
    if (range.size() == 0) return;
    const auto piece = [&](const Tensor& flat, Range held) { return flat.defined() ? slice(flat, held, range) : Tensor(); };
    Shard shard{&parameter,
                range.begin - parameter.offset,
                range.end - parameter.offset,
                piece(state.values, state.value_range),
                piece(state.working, state.working_range),
                piece(state.gradients, state.state_range),
                piece(state.exp_avg, state.state_range),
                piece(state.exp_avg_sq, state.state_range)};
    visit(shard);
  });
}

void ShardedStore::for_each_shard(const ShardVisitor& visit) { visit_ranges(visit, /*owned_only=*/false); }
void ShardedStore::for_each_owned_shard(const ShardVisitor& visit) { visit_ranges(visit, /*owned_only=*/true); }

double ShardedStore::gradient_norm() {
  const auto num_blocks = [](std::int64_t elements) { return (elements + ops::kReduceBlock - 1) / ops::kReduceBlock; };
  std::int64_t own_blocks = 0;
  for_each_owned_shard([&](Shard& shard) { own_blocks += num_blocks(shard.end - shard.begin); });
  Tensor sums = ctx_.empty({own_blocks}, DType::kF64);
  std::vector<std::int64_t> blocks_of_unit(units_.size(), 0);
  std::int64_t at = 0;
  for_each_owned_shard([&](Shard& shard) {
    const std::int64_t count = num_blocks(shard.end - shard.begin);
    Tensor part = sums.slice(at, {count});
    ops::sum_squares_blocks(ctx_, shard.gradient, part);
    blocks_of_unit[static_cast<std::size_t>(shard.parameter->unit)] += count;
    at += count;
  });
  const Tensor on_host = ops::to_host(ctx_, sums);
  const auto all_sums = communicator_.host_gather_values<double>(on_host.host_span<double>(), "gradient norm");
  const auto all_counts = communicator_.host_gather_values<std::int64_t>(blocks_of_unit, "gradient norm");
  // A unit's blocks stand in rank order, so this is the order of one rank.
  double total = 0;
  std::vector<std::size_t> next(all_sums.size(), 0);
  for (std::size_t u = 0; u < units_.size(); ++u) {
    for (std::size_t r = 0; r < all_sums.size(); ++r) {
      for (std::int64_t block = 0; block < all_counts[r][u]; ++block) total += all_sums[r][next[r]++];
    }
  }
  return std::sqrt(total);
}

Tensor ShardedStore::gather_value(const nn::Parameter& parameter) {
  finish_value_transfers();
  UnitState& state = unit(parameter.unit);
  const Range members{parameter.offset, parameter.offset + parameter.num_elements()};
  if (!splits_values()) return ops::to_host(ctx_, slice(state.values, state.value_range, members).view(parameter.shape));
  std::vector<std::int64_t> counts;
  for (int r = 0; r < num_ranks(); ++r)
    counts.push_back(intersect(members, {state.cuts[static_cast<std::size_t>(r)], state.cuts[static_cast<std::size_t>(r) + 1]}).size());
  Range own = intersect(members, state.own);
  if (own.size() == 0) own = {state.own.begin, state.own.begin};
  Tensor full = ctx_.empty({parameter.num_elements()});
  const Tensor piece = slice(state.values, state.value_range, own);
  communicator_.all_gather(ctx_, piece, full, counts, parameter.name).wait();
  return ops::to_host(ctx_, full.view(parameter.shape));
}

void ShardedStore::set_value(const nn::Parameter& parameter, const Tensor& host_f32) {
  finish_value_transfers();
  UnitState& state = unit(parameter.unit);
  const Range members{parameter.offset, parameter.offset + parameter.num_elements()};
  const Range range = intersect(members, state.value_range);
  if (range.size() > 0) {
    Tensor piece = slice(state.values, state.value_range, range);
    const Tensor source = host_f32.view({parameter.num_elements()}).slice(range.begin - parameter.offset, {range.size()});
    ops::from_host(ctx_, source, piece);
  }
  const Range working = intersect(members, state.working_range);
  if (has_working_copy() && working.size() > 0) {
    Tensor piece = slice(state.working, state.working_range, working);
    const Tensor source = host_f32.view({parameter.num_elements()}).slice(working.begin - parameter.offset, {working.size()});
    ops::from_host(ctx_, host_bf16(source), piece);
  }
  values_changed();
}

void ShardedStore::round_values() {
  if (!has_working_copy()) return;
  for (UnitState& state : units_) {
    if (state.state_range.size() == 0) continue;
    Tensor working = slice(state.working, state.working_range, state.state_range);
    ops::cast(ctx_, slice(state.values, state.value_range, state.state_range), working);
  }
}

StoreMemory ShardedStore::memory() const {
  StoreMemory memory;
  for (const UnitState& state : units_) {
    memory.values += bytes_of(state.values) + bytes_of(state.working);
    memory.gradients += bytes_of(state.gradients);
    memory.optimizer_state += bytes_of(state.exp_avg) + bytes_of(state.exp_avg_sq);
  }
  memory.gathered_peak = gathered_peak_;
  memory.scratch_peak = scratch_peak_;
  return memory;
}

}  // namespace r1::parallel
