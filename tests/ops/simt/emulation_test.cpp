// The emulation itself: what a correct kernel gets, and that each kind of fault is found.
#include <gmock/gmock.h>

#include "tests/support/simt/cuda.h"

// After the dialect that it is written in.
#include "ops/cuda/device.cuh"
#include "tensor/dtype.h"

namespace r1::simt {
namespace {

using ops::kernels::bf16;
using ops::kernels::block_sum;
using ops::kernels::f16;
using ops::kernels::f8e4m3;
using ops::kernels::from_float;
using ops::kernels::load;
using ops::kernels::store;
using ops::kernels::to_float;
using testing::HasSubstr;

/// Memory that kernels may touch while it lives.
template <typename T>
struct Memory : std::vector<T> {
  explicit Memory(std::size_t count) : std::vector<T>(count) { allow_global(this->data(), count * sizeof(T)); }
  ~Memory() { forget_global(); }
};

class Emulation : public testing::TestWithParam<std::uint64_t> {
 protected:
  void SetUp() override { set_schedule({GetParam()}); }
  void TearDown() override { set_schedule({0}); }

  /// The fault that the kernel is found to have; empty if none.
  template <typename Body>
  std::string fault_of(LaunchShape shape, Body&& body) {
    try {
      run_kernel("kernel", shape, body);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_P(Emulation, RunsEveryThreadOfEveryBlockOnce) {
  Memory<int> seen(3 * 2 * 2 * 64);
  run_kernel("kernel", {{3, 2, 2}, {16, 2, 2}}, [&] {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int* cell = &seen[block * 64 + thread];
    store(cell, load(cell) + 1);
  });
  EXPECT_THAT(seen, testing::Each(1));
}

TEST_P(Emulation, ReversesABlockThroughSharedMemory) {
  Memory<int> out(96);
  run_kernel("kernel", {{1}, {96}}, [&] {
    R1_SHARED(int, values, 96);
    values[threadIdx.x] = static_cast<int>(threadIdx.x);
    __syncthreads();
    store(&out[threadIdx.x], static_cast<int>(values[95 - threadIdx.x]));
  });
  for (int i = 0; i < 96; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], 95 - i);
}

TEST_P(Emulation, ShufflesVotesAndSumsAWarp) {
  Memory<float> sums(64), shifted(64), broadcast(64);
  Memory<unsigned> ballots(64), verdicts(64);
  run_kernel("kernel", {{1}, {64}}, [&] {
    const unsigned t = threadIdx.x;
    store(&sums[t], block_sum(static_cast<float>(t)));
    store(&shifted[t], __shfl_up_sync(ops::kernels::kFullWarp, static_cast<float>(t), 3U));
    store(&broadcast[t], __shfl_sync(ops::kernels::kFullWarp, static_cast<float>(t), 5));
    store(&ballots[t], __ballot_sync(ops::kernels::kFullWarp, t % 3 == 0));
    const bool any = __any_sync(ops::kernels::kFullWarp, t == 40), all = __all_sync(ops::kernels::kFullWarp, t >= 32);
    store(&verdicts[t], (any ? 1U : 0U) + (all ? 2U : 0U));
  });
  for (unsigned t = 0; t < 64; ++t) {
    EXPECT_EQ(sums[t], 63.0F * 32.0F);
    EXPECT_EQ(shifted[t], static_cast<float>(t % 32 < 3 ? t : t - 3));
    EXPECT_EQ(broadcast[t], t < 32 ? 5.0F : 37.0F);
    unsigned expected = 0;
    for (unsigned lane = 0; lane < 32; ++lane) expected |= ((t / 32 * 32 + lane) % 3 == 0 ? 1U : 0U) << lane;
    EXPECT_EQ(ballots[t], expected);
    EXPECT_EQ(verdicts[t], t < 32 ? 0U : 3U);
  }
}

TEST_P(Emulation, AddsAtomicallyInSharedAndGlobalMemory) {
  Memory<unsigned> total(2);
  run_kernel("kernel", {{4}, {64}}, [&] {
    R1_SHARED(unsigned, count, 1);
    if (threadIdx.x == 0) count[0] = 0U;
    __syncthreads();
    atomicAdd(&count[0], threadIdx.x);
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(&total[0], static_cast<unsigned>(count[0]));
    atomicOr(&total[1], 1U << blockIdx.x);
  });
  EXPECT_EQ(total[0], 4U * 63U * 32U);
  EXPECT_EQ(total[1], 15U);
}

TEST_P(Emulation, FindsABarrierInADivergentBranch) {
  EXPECT_THAT(fault_of({{1}, {64}},
                       [] {
                         if (threadIdx.x < 40) __syncthreads();
                       }),
              HasSubstr("divergent barrier"));
  const auto two_barriers = [] {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  };
  EXPECT_THAT(fault_of({{1}, {64}}, two_barriers), HasSubstr("divergent barrier"));
}

TEST_P(Emulation, FindsADivergentWarpOperation) {
  EXPECT_THAT(fault_of({{1}, {32}},
                       [] {
                         if (threadIdx.x != 7) __shfl_sync(ops::kernels::kFullWarp, 1, 0);
                       }),
              HasSubstr("divergent warp operation"));
  EXPECT_THAT(fault_of({{1}, {32}}, [] { __shfl_sync(0xFFFFU, 1, 0); }), HasSubstr("full warps alone"));
}

TEST_P(Emulation, FindsSharedMemoryThatWasNeverWritten) {
  EXPECT_THAT(fault_of({{1}, {32}},
                       [] {
                         R1_SHARED(float, values, 33);
                         values[threadIdx.x] = 1.0F;
                         __syncthreads();
                         float sum = values[threadIdx.x + 1];
                         static_cast<void>(sum);
                       }),
              HasSubstr("values[32] is read before it was written"));
}

TEST_P(Emulation, ForgetsSharedMemoryBetweenBlocks) {
  EXPECT_THAT(fault_of({{2}, {32}},
                       [] {
                         R1_SHARED(float, values, 32);
                         if (blockIdx.x == 0) values[threadIdx.x] = 1.0F;
                         __syncthreads();
                         float value = values[threadIdx.x];
                         static_cast<void>(value);
                       }),
              HasSubstr("read before it was written"));
}

TEST_P(Emulation, FindsAnIndexOutsideOfSharedMemory) {
  EXPECT_THAT(fault_of({{1}, {32}},
                       [] {
                         R1_SHARED(float, values, 31);
                         values[threadIdx.x] = 1.0F;
                       }),
              HasSubstr("values[31] is outside of its 31 elements"));
}

TEST_P(Emulation, FindsAMissingBarrier) {
  const auto reverse = [](auto&& order) {
    R1_SHARED(int, values, 64);
    values[threadIdx.x] = 1;
    order();
    int value = values[threadIdx.x ^ 1U];
    static_cast<void>(value);
  };
  EXPECT_THAT(fault_of({{1}, {64}}, [&] { reverse([] {}); }),
              testing::AnyOf(HasSubstr("race on values"), HasSubstr("before it was written")));
  EXPECT_EQ(fault_of({{1}, {64}}, [&] { reverse([] { __syncwarp(); }); }), "");  // partners are in one warp
  EXPECT_EQ(fault_of({{1}, {64}}, [&] { reverse([] { __syncthreads(); }); }), "");
}

TEST_P(Emulation, FindsAWriteWhileAnotherThreadMayStillRead) {
  EXPECT_THAT(fault_of({{1}, {64}},
                       [] {
                         R1_SHARED(int, values, 64);
                         for (int round = 0; round < 2; ++round) {
                           values[threadIdx.x] = round;
                           __syncthreads();
                           int value = values[63 - threadIdx.x];
                           static_cast<void>(value);
                         }
                       }),
              HasSubstr("race on values"));
}

TEST_P(Emulation, FindsARaceInGlobalMemory) {
  Memory<float> out(64);
  EXPECT_THAT(fault_of({{2}, {32}}, [&] { store(&out[threadIdx.x], 1.0F); }), HasSubstr("race on global memory"));
  EXPECT_THAT(fault_of({{1}, {64}}, [&] { store(&out[threadIdx.x / 2], 1.0F); }), HasSubstr("race on global memory"));
  EXPECT_EQ(fault_of({{2}, {32}}, [&] { store(&out[threadIdx.x + 32 * blockIdx.x], load(&out[threadIdx.x + 32 * blockIdx.x])); }), "");
}

TEST_P(Emulation, FindsAnAccessOutsideOfTheTensors) {
  Memory<float> out(40);
  EXPECT_THAT(fault_of({{1}, {64}}, [&] { store(out.data() + threadIdx.x, 1.0F); }), HasSubstr("outside of the tensors"));
  EXPECT_THAT(fault_of({{1}, {32}}, [&] { load(out.data() - 1 + threadIdx.x); }), HasSubstr("outside of the tensors"));
}

TEST_P(Emulation, FindsAVectorAccessThatIsNotAligned) {
  Memory<float> values(64);
  EXPECT_THAT(fault_of({{1}, {32}}, [&] { ops::kernels::load_floats<4>(values.data() + 1); }), HasSubstr("not aligned to 16 bytes"));
}

TEST_P(Emulation, GoesOnAfterAFault) {
  Memory<int> out(64);
  for (int round = 0; round < 3; ++round) {
    EXPECT_NE(fault_of({{1}, {64}},
                       [] {
                         if (threadIdx.x == 3) __syncthreads();
                       }),
              "");
    EXPECT_EQ(fault_of({{1}, {64}},
                       [&] {
                         __syncthreads();
                         store(&out[threadIdx.x], 1);
                       }),
              "");
  }
}

TEST_P(Emulation, RefusesImpossibleLaunches) {
  EXPECT_THAT(fault_of({{1}, {33}}, [] {}), HasSubstr("multiple of 32"));
  EXPECT_THAT(fault_of({{1}, {1056}}, [] {}), HasSubstr("multiple of 32"));
  EXPECT_THAT(fault_of({{1, 70000}, {32}}, [] {}), HasSubstr("cannot be launched"));
  EXPECT_THAT(fault_of({{1}, {32}, 300000}, [] {}), HasSubstr("shared memory"));
}

INSTANTIATE_TEST_SUITE_P(InOrderAndShuffled, Emulation, testing::Values(0, 1, 7));

TEST(StorageTypes, AreConvertedAsOnTheHost) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const auto small = static_cast<std::uint16_t>(bits);
    const float wide = to_float(f16{small});
    if (std::isnan(f16_to_f32(small))) {
      EXPECT_TRUE(std::isnan(wide));
    } else {
      EXPECT_EQ(std::bit_cast<std::uint32_t>(wide), std::bit_cast<std::uint32_t>(f16_to_f32(small)));
    }
    // Numbers around the f16 and bf16 grids, ties included.
    for (const std::uint32_t low : {0x0000U, 0x0FFFU, 0x1000U, 0x1001U, 0x7FFFU, 0x8000U, 0x8001U, 0xF000U}) {
      const float value = std::bit_cast<float>(bits << 16 | low);
      if (std::isnan(value)) continue;
      bf16 brain{};
      f16 half{};
      f8e4m3 eight{};
      from_float(value, brain);
      from_float(value, half);
      from_float(value, eight);
      ASSERT_EQ(brain.bits, f32_to_bf16(value)) << value;
      ASSERT_EQ(half.bits, f32_to_f16(value)) << value;
      ASSERT_EQ(eight.bits, f32_to_f8e4m3(value)) << value;
    }
  }
  for (unsigned bits = 0; bits < 256; ++bits) {
    const auto small = static_cast<std::uint8_t>(bits);
    if (std::isnan(f8e4m3_to_f32(small))) {
      EXPECT_TRUE(std::isnan(to_float(f8e4m3{small})));
    } else {
      EXPECT_EQ(to_float(f8e4m3{small}), f8e4m3_to_f32(small));
    }
  }
}

}  // namespace
}  // namespace r1::simt
