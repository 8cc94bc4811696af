#include "train/weight_transfer.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "base/hash.h"
#include "models/registry.h"
#include "ops/copy.h"
#include "ops/elementwise.h"
#include "ops/reduce.h"

namespace r1::train {
namespace {

// 64 MB: large enough for the full speed of a link, small enough that receiving and passing on overlap.
constexpr std::int64_t kBucketElements = std::int64_t{16} << 20;

/// A trainer's piece of a unit's flat values.
struct Piece {
  std::int64_t unit = 0, begin = 0, end = 0;
};
struct HeldPiece {
  Piece place;
  Tensor values;
};

/// What this rank answers for; neighbours in a unit as one piece.
std::vector<HeldPiece> held_pieces(parallel::ParameterStore& store) {
  std::vector<HeldPiece> pieces;
  store.for_each_owned_shard([&](parallel::Shard& shard) {
    const std::int64_t unit = shard.parameter->unit, begin = shard.parameter->offset + shard.begin;
    const std::int64_t end = begin + (shard.end - shard.begin);
    if (!pieces.empty() && pieces.back().place.unit == unit && pieces.back().place.end == begin) {
      HeldPiece& last = pieces.back();
      last.place.end = end;
      last.values = last.values.extended({end - last.place.begin});
    } else {
      pieces.push_back({{unit, begin, end}, shard.read_by_passes()});
    }
  });
  return pieces;
}

}  // namespace

std::string WeightsStamp::checksum_text() const { return fmt::format("{:016x}", checksum); }

std::uint64_t checksum_of(const ExecContext& ctx, const nn::Parameter& parameter, std::int64_t begin, const Tensor& values) {
  R1_ASSERT(begin % ops::kReduceBlock == 0, "a piece that does not begin at the border of a block");
  const Tensor host = ops::to_host(ctx, values.view({values.num_elements()}));
  const std::uint64_t name_hash = xxh3_64(parameter.name);
  const auto sum_of = [&](const auto span) {
    std::uint64_t sum = 0;
    for (std::size_t at = 0; at < span.size(); at += ops::kReduceBlock) {
      const auto block_values = span.subspan(at, std::min<std::size_t>(ops::kReduceBlock, span.size() - at));
      const std::uint64_t block = (static_cast<std::uint64_t>(begin) + at) / ops::kReduceBlock;
      sum += xxh3_64(block_values.data(), block_values.size_bytes(), name_hash + block);
    }
    return sum;
  };
  return host.dtype() == DType::kBF16 ? sum_of(host.host_span<std::uint16_t>()) : sum_of(host.host_span<float>());
}

std::uint64_t checksum_of(const ExecContext& ctx, parallel::ParameterStore& store) {
  std::uint64_t own = 0, sum = 0;
  store.for_each_owned_shard(
      [&](parallel::Shard& shard) { own += checksum_of(ctx, *shard.parameter, shard.begin, shard.read_by_passes()); });
  for (const std::uint64_t part : store.communicator().host_gather_value(own, "checksum of the weights")) sum += part;
  return sum;
}

RolloutModel::RolloutModel(const ExecContext& ctx, const models::ModelConfig& config, int tensor_rank, int tensor_size, DType dtype)
    : ctx_(ctx) {
  models::check_model_can_be_cut(config, tensor_size, /*num_stages=*/1);
  model_ = models::make_model(config, {tensor_rank, tensor_size});
  store_ = std::make_unique<parallel::InferenceStore>(
      ctx, model_->parameters(), dtype == DType::kBF16 ? parallel::WeightStorage::kBF16 : parallel::WeightStorage::kF32, DType::kF32);
  R1_ASSERT(store_->activation_dtype() == dtype, "a rollout computes as its trainers do");
  runner_ = std::make_unique<nn::UnitRunner>(model_->parameters(), *store_);
}

void RolloutModel::take_rows(nn::ParameterSet& whole, int unit) {
  model_->parameters().for_each_of_unit(unit, [&](nn::Parameter& parameter) {
    const Tensor all = whole.find(parameter.name)->value;
    ops::copy(ctx_, all.rows(parameter.first_row, parameter.first_row + parameter.shape[0]), parameter.value);
  });
}

Tensor RolloutModel::unit_values(int unit) {
  const nn::Unit& members = model_->parameters().units()[static_cast<std::size_t>(unit)];
  const Tensor& first = model_->parameters().at(members.first_parameter).value;
  return first.view({first.num_elements()}).extended({members.num_elements});
}

/// A unit whose buckets are on their way here.
struct WeightTransfer::Arrival {
  int unit = 0;
  std::size_t first_bucket = 0, end_bucket = 0;
  Tensor flat;
  std::deque<comm::Work> from_trainers;  // of the buckets that this rank receives
};

WeightTransfer::WeightTransfer(const ExecContext& ctx, comm::Communicator& world, int num_trainers, parallel::ParameterStore* store)
    : ctx_(ctx), world_(world), links_(world.split(0, world.rank())), num_trainers_(num_trainers), store_(store) {
  agree_on_buckets();
}

WeightTransfer::WeightTransfer(const ExecContext& ctx, comm::Communicator& world, int num_trainers, comm::Communicator& generators,
                               RolloutModel& target)
    : ctx_(ctx),
      world_(world),
      links_(world.split(0, world.rank())),
      num_trainers_(num_trainers),
      generators_(&generators),
      target_(&target),
      whole_(models::make_model(target.model().config())) {
  agree_on_buckets();
}

WeightTransfer::~WeightTransfer() = default;

void WeightTransfer::agree_on_buckets() {
  std::vector<Piece> mine;
  if (store_ != nullptr) {
    for (const HeldPiece& piece : held_pieces(*store_)) mine.push_back(piece.place);
  }
  const auto all = world_.host_gather_values(std::span<const Piece>(mine), "pieces of the weights");
  for (std::size_t owner = 0; owner < all.size(); ++owner) {
    for (const Piece& piece : all[owner]) {
      for (std::int64_t begin = piece.begin; begin < piece.end; begin += kBucketElements) {
        buckets_.push_back({static_cast<int>(piece.unit), begin, std::min(begin + kBucketElements, piece.end), static_cast<int>(owner), 0});
      }
    }
  }
  std::ranges::sort(buckets_, {}, [](const Bucket& bucket) { return std::pair(bucket.unit, bucket.begin); });
  const int num_generators = world_.world_size() - num_trainers_;
  for (std::size_t i = 0; i < buckets_.size(); ++i)
    buckets_[i].receiver = num_trainers_ + static_cast<int>(i % static_cast<std::size_t>(num_generators));
}

std::uint64_t WeightTransfer::send() {
  std::uint64_t checksum = 0;
  std::vector<comm::Work> under_way;
  const std::vector<HeldPiece> pieces = held_pieces(*store_);
  auto piece = pieces.begin();
  for (const Bucket& bucket : buckets_) {  // its own ones in the order of its pieces
    if (bucket.owner != world_.rank()) continue;
    while (piece->place.unit != bucket.unit || piece->place.end <= bucket.begin) ++piece;
    const Tensor values = piece->values.slice(bucket.begin - piece->place.begin, {bucket.end - bucket.begin});
    under_way.push_back(links_->send(ctx_, values, bucket.receiver, "weights"));
  }
  store_->for_each_owned_shard(
      [&](parallel::Shard& shard) { checksum += checksum_of(ctx_, *shard.parameter, shard.begin, shard.read_by_passes()); });
  for (comm::Work& work : under_way) work.wait();
  return checksum;
}

WeightTransfer::Arrival WeightTransfer::expect(int unit) {
  Arrival arrival;
  arrival.unit = unit;
  const auto range = std::ranges::equal_range(buckets_, unit, {}, &Bucket::unit);
  arrival.first_bucket = static_cast<std::size_t>(range.begin() - buckets_.begin());
  arrival.end_bucket = static_cast<std::size_t>(range.end() - buckets_.begin());
  arrival.flat = target_->is_whole()
                     ? target_->unit_values(unit)
                     : ctx_.empty({whole_->parameters().units()[static_cast<std::size_t>(unit)].num_elements}, target_->dtype());
  for (std::size_t i = arrival.first_bucket; i < arrival.end_bucket; ++i) {
    const Bucket& bucket = buckets_[i];
    if (bucket.receiver != world_.rank()) continue;
    Tensor values = arrival.flat.slice(bucket.begin, {bucket.end - bucket.begin});
    arrival.from_trainers.push_back(links_->recv(ctx_, values, bucket.owner, "weights"));
  }
  return arrival;
}

std::uint64_t WeightTransfer::finish(Arrival& arrival) {
  std::vector<comm::Work> passed_on;
  for (std::size_t i = arrival.first_bucket; i < arrival.end_bucket; ++i) {
    const Bucket& bucket = buckets_[i];
    if (bucket.receiver == world_.rank()) {
      arrival.from_trainers.front().wait();
      arrival.from_trainers.pop_front();
    }
    if (generators_->world_size() == 1) continue;
    Tensor values = arrival.flat.slice(bucket.begin, {bucket.end - bucket.begin});
    passed_on.push_back(generators_->broadcast(ctx_, values, bucket.receiver - num_trainers_, "weights"));
  }
  for (comm::Work& work : passed_on) work.wait();
  nn::ParameterSet& whole = whole_->parameters();
  whole.bind_values(arrival.unit, arrival.flat);
  if (!target_->is_whole()) target_->take_rows(whole, arrival.unit);
  std::uint64_t checksum = 0;
  whole.for_each_of_unit(arrival.unit, [&](nn::Parameter& parameter) { checksum += checksum_of(ctx_, parameter, 0, parameter.value); });
  whole.bind_values(arrival.unit, Tensor());
  return checksum;
}

std::uint64_t WeightTransfer::receive() {
  const int num_units = static_cast<int>(whole_->parameters().units().size());
  std::uint64_t checksum = 0;
  Arrival arrival = expect(0);
  for (int unit = 0; unit < num_units; ++unit) {
    std::optional<Arrival> next;
    if (unit + 1 < num_units) next = expect(unit + 1);
    checksum += finish(arrival);
    if (next) arrival = std::move(*next);
  }
  return checksum;
}

WeightsStamp WeightTransfer::run(std::int64_t version) {
  const std::uint64_t own = store_ != nullptr ? send() : receive();
  const std::vector<std::uint64_t> all = world_.host_gather_value(own, "checksum of the weights");
  WeightsStamp stamp{version, 0};
  for (int trainer = 0; trainer < num_trainers_; ++trainer) stamp.checksum += all[static_cast<std::size_t>(trainer)];
  for (std::size_t r = static_cast<std::size_t>(num_trainers_); r < all.size(); ++r) {
    if (all[r] == stamp.checksum) continue;
    fail(ErrorKind::kNumeric,
         "weights after {} updates: the trainers sent checksum {}, generator rank {} received {}; memory or network "
         "changed them",
         version, stamp.checksum_text(), r, WeightsStamp{version, all[r]}.checksum_text());
  }
  return stamp;
}

}  // namespace r1::train
