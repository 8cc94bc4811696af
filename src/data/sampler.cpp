#include "data/sampler.h"

#include "base/error.h"
#include "base/rng.h"

namespace r1::data {
namespace {

constexpr int kRounds = 8;

}  // namespace

Sampler::Sampler(std::int64_t num_items, std::uint64_t seed, bool shuffle) : num_items_(num_items), seed_(seed), shuffle_(shuffle) {
  R1_ASSERT(num_items >= 1, "a sampler needs at least one item");
  half_bits_ = 1;
  while (half_bits_ < 31 && (std::int64_t{1} << (2 * half_bits_)) < num_items) ++half_bits_;
}

std::uint64_t Sampler::permute(std::uint64_t value, std::uint64_t epoch) const {
  const std::uint32_t mask = static_cast<std::uint32_t>((std::uint64_t{1} << half_bits_) - 1);
  std::uint32_t left = static_cast<std::uint32_t>(value >> half_bits_) & mask, right = static_cast<std::uint32_t>(value) & mask;
  for (std::uint32_t round = 0; round < kRounds; ++round) {
    const auto words = philox4x32({right, round, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(epoch >> 32)},
                                  {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
    const std::uint32_t mixed = (left ^ words[0]) & mask;
    left = right;
    right = mixed;
  }
  return static_cast<std::uint64_t>(left) << half_bits_ | right;
}

std::int64_t Sampler::item(std::int64_t epoch, std::int64_t position) const {
  R1_ASSERT(position >= 0 && position < num_items_ && epoch >= 0, "a sampler position outside its epoch");
  if (!shuffle_) return position;
  // The domain is less than four times the number of items (or 16): a few walks at most on average.
  std::uint64_t value = static_cast<std::uint64_t>(position);
  do {
    value = permute(value, static_cast<std::uint64_t>(epoch));
  } while (value >= static_cast<std::uint64_t>(num_items_));
  return static_cast<std::int64_t>(value);
}

std::int64_t Sampler::next(Cursor& cursor) const {
  const std::int64_t result = item(cursor.epoch, cursor.position);
  if (++cursor.position == num_items_) cursor = {cursor.epoch + 1, 0};
  return result;
}

}  // namespace r1::data
