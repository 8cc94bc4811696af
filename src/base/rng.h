// Counter-based random numbers: a value is a pure function of (key, counter), never of what was drawn before.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace r1 {

/// Philox4x32-10. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// The uniform of a generated token (design/interfaces.md, "Random stream"): key = seed, counter = (row id u64, sample u32,
/// position u32). In [0, 1), a multiple of 2^-24, so that it is exact in f32.
float token_uniform(std::uint64_t seed, std::uint64_t row_id, std::uint32_t sample, std::uint32_t position);

/// A named stream of draws: two streams with another name or seed are independent. The n-th draw depends on
/// (seed, name, index, n) alone. Copyable; a copy goes on from the same place. Not thread-safe.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, std::string_view name, std::uint64_t index = 0);

  std::uint32_t next_u32();
  std::uint64_t next_u64();
  /// [0, 1) with 53 random bits.
  double uniform();
  /// Uniform in [0, bound), without modulo bias; bound > 0.
  std::uint64_t below(std::uint64_t bound);
  /// Standard normal (Box–Muller in double).
  double normal();

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint64_t index_, block_ = 0;
  std::array<std::uint32_t, 4> words_{};
  int used_ = 4;
  bool has_spare_ = false;
  double spare_ = 0;
};

/// Fisher–Yates.
template <typename T>
void shuffle(std::span<T> items, RandomStream& random) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace r1
