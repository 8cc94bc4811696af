#include "ops/cuda/attention_cudnn.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "base/log.h"
#include "ops/cuda/attention_offsets.h"
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/libraries.h"
#include "ops/cuda/sdpa_groups.h"
#include "tensor/raw_access.h"
#if defined(R1_HAS_CUDNN)
#include "ops/cuda/sdpa_graph.h"
#endif

namespace r1::ops::cuda {

static std::atomic<R1CudaAttention> chosen_attention = R1_CUDA_ATTENTION_AUTO;

#if defined(R1_HAS_CUDNN)
namespace {

/// Of one device. Graphs live as long as the process, which has a few dozen of them.
struct Device {
  cudnnHandle_t handle = nullptr;
  std::string problem;  // why cuDNN does not serve it
  struct Graph {
    std::unique_ptr<SdpaGraph> graph;  // null with
    std::string problem;
  };
  std::map<SdpaShape, Graph> graphs;
};

struct Devices {
  std::mutex mutex;
  std::map<int, Device> by_index;
};

Device open_device(int index) {
  Device device;
  int major = 0;
  if (r1::cuda::cudnn_library() == nullptr) {
    device.problem = "there is no libcudnn";
  } else if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index) != cudaSuccess || (major != 9 && major != 10)) {
    device.problem = "packed sequences need compute capability 9.x or 10.x";
  } else if (const cudnnStatus_t status = cudnnCreate(&device.handle); status != CUDNN_STATUS_SUCCESS) {
    device.problem = fmt::format("cuDNN cannot start: {}", cudnnGetErrorString(status));
  }
  if (!device.problem.empty()) log::notice("attention: {}: training uses our own kernels, which are slower", device.problem);
  return device;
}

struct Buffer {
  int number;  // of SdpaBuffers
  const Tensor* tensor;
};

/// Why cuDNN does not take the tensors as they lie, or "": it takes rows of whole 16 bytes and fewer elements than an i32 counts.
std::string misfit(std::span<const Buffer> buffers, const AttentionHeads& heads) {
  if (heads.head_dim % 8 != 0 || heads.head_dim > 256) return fmt::format("heads of {}", heads.head_dim);
  for (const Buffer& buffer : buffers) {
    const Tensor& tensor = *buffer.tensor;
    const bool is_lse = buffer.number == SdpaBuffers::kLse;
    if (tensor.dtype() != (is_lse ? DType::kF32 : DType::kBF16)) return fmt::format("{}", dtype_name(tensor.dtype()));
    if (tensor.dim(0) * tensor.row_stride() > INT32_MAX) return "2^31 elements or more";
    if (is_lse) continue;
    if (reinterpret_cast<std::uintptr_t>(RawAccess::data(tensor)) % 16 != 0 || tensor.row_stride() % 8 != 0) return "rows off 16 bytes";
  }
  return {};
}

/// The device's graph of that shape, made at its first use.
const Device::Graph& graph_of(Device& device, const SdpaShape& shape) {
  auto found = device.graphs.find(shape);
  if (found != device.graphs.end()) return found->second;
  Device::Graph made;
  made.graph = make_sdpa_graph(device.handle, shape, made.problem);
  if (made.graph == nullptr) {
    log::warning("attention{}: cuDNN does not serve {} heads over {} of {} ({}): our own kernels are used",
                 shape.is_backward ? " backward" : "", shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim, made.problem);
  }
  return device.graphs.emplace(shape, std::move(made)).first->second;
}

/// Empty, or why cuDNN does not serve this call.
std::string run_sdpa(const ExecContext& ctx, SdpaShape shape, std::span<const Buffer> buffers, const Tensor& cu_seqlens,
                     const AttentionHeads& heads) {
  if (const std::string reason = misfit(buffers, heads); !reason.empty()) return reason;
  static auto* devices = new Devices;  // outlives every static tensor
  const cudaStream_t stream = stream_of(ctx);
  const std::int64_t num_tokens = buffers.front().tensor->dim(0), num_sequences = cu_seqlens.dim(0) - 1;
  const SdpaGroups groups = sdpa_groups(num_sequences, heads.longest_sequence > 0 ? heads.longest_sequence : num_tokens,
                                        heads.num_attention_heads, shape.is_backward);
  if (groups.score_bytes > kSdpaLargestBytes) {
    static std::once_flag said;
    std::call_once(said, [&] {
      log::warning(
          "attention backward: sequences of {} tokens with {} heads are too long for cuDNN's deterministic pass: our own kernels, "
          "which are slower, are used for such",
          groups.longest, heads.num_attention_heads);
    });
    return fmt::format("gradients of scores of {} bytes", groups.score_bytes);
  }
  shape.longest_sequence = groups.longest;
  shape.num_attention_heads = heads.num_attention_heads;
  shape.num_key_value_heads = heads.num_key_value_heads;
  shape.head_dim = heads.head_dim;
  shape.scale = heads.scale;

  const std::lock_guard lock(devices->mutex);
  const int index = ctx.device().index;
  auto place = devices->by_index.find(index);
  if (place == devices->by_index.end()) place = devices->by_index.emplace(index, open_device(index)).first;
  Device& device = place->second;
  if (!device.problem.empty()) return device.problem;
  std::vector<SdpaGraph*> graphs;
  std::int64_t workspace_bytes = 1;
  for (const std::int64_t size : groups.sizes) {
    shape.num_sequences = size;
    const Device::Graph& made = graph_of(device, shape);
    if (made.graph == nullptr) return made.problem;
    graphs.push_back(made.graph.get());
    workspace_bytes = std::max(workspace_bytes, made.graph->workspace_bytes());
  }

  std::vector<std::int64_t> token_strides;
  for (const Buffer& buffer : buffers) token_strides.push_back(buffer.tensor->row_stride());
  const std::int64_t borders = num_sequences + 1;
  Tensor offsets = ctx.empty({static_cast<std::int64_t>(buffers.size()), borders}, DType::kI32),
         lengths = ctx.empty({num_sequences}, DType::kI32);
  attention_offsets(ctx, cu_seqlens, token_strides, offsets, lengths);
  const Tensor workspace = ctx.empty({workspace_bytes}, DType::kU8);
  if (const cudnnStatus_t status = cudnnSetStream(device.handle, stream); status != CUDNN_STATUS_SUCCESS)
    fail(ErrorKind::kInternal, "attention: cuDNN's stream: {}", cudnnGetErrorString(status));
  std::int64_t first = 0;
  for (std::size_t g = 0; g < graphs.size(); first += groups.sizes[g++]) {
    SdpaBuffers addresses;
    addresses.lengths = raw<std::int32_t>(lengths) + first;
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      addresses.address[buffers[i].number] = RawAccess::data(*buffers[i].tensor);
      addresses.offsets[buffers[i].number] = raw<std::int32_t>(offsets) + static_cast<std::int64_t>(i) * borders + first;
    }
    const std::string problem = graphs[g]->run(device.handle, addresses, RawAccess::data(workspace));
    if (!problem.empty()) fail(ErrorKind::kInternal, "attention: cuDNN: {}", problem);
  }
  return {};
}

std::string through_cudnn(const ExecContext& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
                          const AttentionHeads& heads, Tensor& out, Tensor* lse) {
  SdpaShape shape;
  shape.with_lse = lse != nullptr;
  shape.q_stride = q.row_stride();
  shape.k_stride = k.row_stride();
  shape.v_stride = v.row_stride();
  shape.out_stride = out.row_stride();
  std::vector<Buffer> buffers = {{SdpaBuffers::kQ, &q}, {SdpaBuffers::kK, &k}, {SdpaBuffers::kV, &v}, {SdpaBuffers::kOut, &out}};
  if (lse != nullptr) buffers.push_back({SdpaBuffers::kLse, lse});
  return run_sdpa(ctx, shape, buffers, cu_seqlens, heads);
}

std::string backward_through_cudnn(const ExecContext& ctx, const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                                   const Tensor& out, const Tensor& lse, const Tensor& cu_seqlens, const AttentionHeads& heads,
                                   Tensor& grad_q, Tensor& grad_k, Tensor& grad_v) {
  SdpaShape shape;
  shape.is_backward = true;
  shape.q_stride = q.row_stride();
  shape.k_stride = k.row_stride();
  shape.v_stride = v.row_stride();
  shape.out_stride = out.row_stride();
  shape.grad_out_stride = grad_out.row_stride();
  shape.grad_q_stride = grad_q.row_stride();
  shape.grad_k_stride = grad_k.row_stride();
  shape.grad_v_stride = grad_v.row_stride();
  const Buffer buffers[] = {{SdpaBuffers::kQ, &q},          {SdpaBuffers::kK, &k},          {SdpaBuffers::kV, &v},
                            {SdpaBuffers::kOut, &out},      {SdpaBuffers::kLse, &lse},      {SdpaBuffers::kGradOut, &grad_out},
                            {SdpaBuffers::kGradQ, &grad_q}, {SdpaBuffers::kGradK, &grad_k}, {SdpaBuffers::kGradV, &grad_v}};
  return run_sdpa(ctx, shape, buffers, cu_seqlens, heads);
}

/// Whether cuDNN did the work. `call`: empty, or why cuDNN does not serve it.
template <typename Call>
bool is_served(const Tensor& q, Call&& call) {
  const R1CudaAttention choice = chosen_attention;
  if (choice == R1_CUDA_ATTENTION_OWN || (choice == R1_CUDA_ATTENTION_AUTO && q.dtype() != DType::kBF16)) return false;
  const std::string reason = call();
  if (!reason.empty() && choice == R1_CUDA_ATTENTION_CUDNN) fail(ErrorKind::kUsage, "attention: cuDNN does not serve {}", reason);
  return reason.empty();
}

}  // namespace
#endif

void choose_attention(R1CudaAttention choice) {
#if !defined(R1_HAS_CUDNN)
  if (choice == R1_CUDA_ATTENTION_CUDNN) fail(ErrorKind::kUsage, "libr1_cuda.so was built without cuDNN (R1_CUDNN)");
#endif
  chosen_attention = choice;
}

void attention_of_choice(const ExecContext& ctx, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cu_seqlens,
                         const AttentionHeads& heads, Tensor& out, Tensor* lse) {
  if (q.num_elements() == 0) return;
#if defined(R1_HAS_CUDNN)
  if (is_served(q, [&] { return through_cudnn(ctx, q, k, v, cu_seqlens, heads, out, lse); })) return;
#endif
  cuda::attention(ctx, q, k, v, cu_seqlens, heads, out, lse);
}

void attention_backward_of_choice(const ExecContext& ctx, const Tensor& grad_out, const Tensor& q, const Tensor& k, const Tensor& v,
                                  const Tensor& out, const Tensor& lse, const Tensor& cu_seqlens, const AttentionHeads& heads,
                                  Tensor& grad_q, Tensor& grad_k, Tensor& grad_v) {
  if (q.num_elements() == 0) return;
#if defined(R1_HAS_CUDNN)
  if (is_served(q, [&] { return backward_through_cudnn(ctx, grad_out, q, k, v, out, lse, cu_seqlens, heads, grad_q, grad_k, grad_v); })) {
    return;
  }
#endif
  cuda::attention_backward(ctx, grad_out, q, k, v, out, lse, cu_seqlens, heads, grad_q, grad_k, grad_v);
}

}  // namespace r1::ops::cuda
