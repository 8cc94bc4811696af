// cuDNN's attention graphs for an H200 that is not here: its own checks and engines accept them.
#include <gtest/gtest.h>

#include "ops/cuda/libraries.h"
#include "ops/cuda/sdpa_graph.h"

namespace r1::ops::cuda {
namespace {

// The numbers of cudaDeviceProp, as NVIDIA's data sheet and its "compute capabilities" table have them; clocks in kHz.
constexpr const char* kH200 = R"({"deviceName": "NVIDIA H200", "multiProcessorCount": 132, "maxGridSize": [2147483647, 65535, 65535],
  "maxBlockSize": [1024, 1024, 64], "regsPerBlock": 65536, "warpSize": 32, "maxSharedMemoryPerBlock": 49152,
  "maxSharedMemoryPerBlockOptin": 232448, "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "maxCtasPerSM": 32,
  "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "pciDeviceId": 0, "isTccDriver": 0, "supportCoopLaunch": 1,
  "smClockRateKHz": 1980000, "memClockRateKHz": 3201000, "l2CacheSize": 62914560, "deviceVer": 900, "driverVer": 13000,
  "cudaDeviceId": 0, "totalGlobalMem": 150754820096})";

/// As attention_cudnn.cpp makes it from views into a fused projection.
SdpaShape shape_of(int heads, int kv_heads, int head_dim, bool is_backward) {
  SdpaShape shape;
  shape.is_backward = is_backward;
  shape.with_lse = !is_backward;
  shape.num_sequences = 4;
  shape.longest_sequence = 1024;
  shape.num_attention_heads = heads;
  shape.num_key_value_heads = kv_heads;
  shape.head_dim = head_dim;
  shape.scale = 0.125F;
  shape.q_stride = shape.k_stride = shape.v_stride = (heads + 2 * kv_heads) * head_dim;
  shape.out_stride = shape.grad_out_stride = heads * head_dim;
  shape.grad_q_stride = shape.grad_k_stride = shape.grad_v_stride = shape.q_stride;
  return shape;
}

std::string refusal(const SdpaShape& shape, const char* json = kH200) {
  const AbsentDevice device{json, 90};
  std::string problem;
  make_sdpa_graph(nullptr, shape, problem, &device);
  return problem;
}

class CudnnGraphs : public ::testing::Test {
 protected:
  void SetUp() override {
    if (r1::cuda::cudnn_library() == nullptr) GTEST_SKIP() << "no libcudnn.so.9 on this machine";
  }
};

TEST_F(CudnnGraphs, HaveEnginesOnAnH200ForEveryModelOfTheRecipes) {
  struct Heads {
    const char* model;
    int heads, kv_heads, head_dim;
  };
  for (const Heads& heads : {Heads{"Qwen2.5-1.5B", 12, 2, 128}, Heads{"Qwen2.5-0.5B", 14, 2, 64}, Heads{"Llama-3.1-70B", 64, 8, 128},
                             Heads{"Qwen3-0.6B", 16, 8, 128}, Heads{"heads of 256", 8, 8, 256}, Heads{"heads of 24", 4, 2, 24}}) {
    for (const bool is_backward : {false, true}) {
      EXPECT_EQ(refusal(shape_of(heads.heads, heads.kv_heads, heads.head_dim, is_backward)), "")
          << heads.model << ", backward " << is_backward;
    }
  }
  SdpaShape inference = shape_of(12, 2, 128, false);
  inference.with_lse = false;
  EXPECT_EQ(refusal(inference), "");
}

TEST_F(CudnnGraphs, SayWhyThereIsNone) {
  EXPECT_NE(refusal(shape_of(8, 8, 512, true)), "") << "heads of 512 have no backward engine";
  EXPECT_NE(refusal(shape_of(12, 5, 128, false)), "") << "12 query heads do not share 5 key heads";
  EXPECT_NE(refusal(shape_of(12, 2, 128, false), "{}"), "") << "no device is described";
}

}  // namespace
}  // namespace r1::ops::cuda
