#include "ops/cuda/sdpa_graph.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wshadow"
#include <cudnn_frontend.h>
#pragma GCC diagnostic pop

#include <unordered_map>
#include <utility>
#include <vector>

namespace r1::ops::cuda {
namespace {

namespace fe = cudnn_frontend;
using fe::graph::Tensor_attributes;
using TensorPointer = std::shared_ptr<Tensor_attributes>;

// Ids of tensors: a buffer, its offsets, the lengths.
std::int64_t buffer_id(int buffer) { return 1 + buffer; }
std::int64_t offsets_id(int buffer) { return 101 + buffer; }
constexpr std::int64_t kLengthsId = 201;

class Builder {
 public:
  Builder(const SdpaShape& shape, const AbsentDevice* absent) : shape_(shape), graph_(std::make_shared<fe::graph::Graph>()) {
    if (absent != nullptr) graph_->set_sm_version(absent->compute_capability);  // which every operation copies when it is added
    graph_->set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    lengths_ = graph_->tensor(index("lengths", kLengthsId, shape.num_sequences));
  }

  std::shared_ptr<fe::graph::Graph> make() {
    const std::int64_t queries = shape_.num_attention_heads, keys = shape_.num_key_value_heads;
    const TensorPointer q = input(SdpaBuffers::kQ, "q", queries, shape_.q_stride), k = input(SdpaBuffers::kK, "k", keys, shape_.k_stride),
                        v = input(SdpaBuffers::kV, "v", keys, shape_.v_stride);
    if (!shape_.is_backward) {
      auto attributes = options(fe::graph::SDPA_attributes().set_name("attention")).set_generate_stats(shape_.with_lse);
      auto [out, lse] = graph_->sdpa(q, k, v, attributes);
      output(out, SdpaBuffers::kOut, queries, shape_.out_stride);
      if (shape_.with_lse) output_lse(lse);
      return graph_;
    }
    const TensorPointer out = input(SdpaBuffers::kOut, "out", queries, shape_.out_stride),
                        grad_out = input(SdpaBuffers::kGradOut, "grad_out", queries, shape_.grad_out_stride);
    Tensor_attributes lse_attributes = lse_like(Tensor_attributes().set_name("lse").set_uid(buffer_id(SdpaBuffers::kLse)));
    const TensorPointer lse = graph_->tensor(lse_attributes.set_ragged_offset(offsets(SdpaBuffers::kLse)));
    auto attributes = options(fe::graph::SDPA_backward_attributes().set_name("attention_backward")).set_deterministic_algorithm(true);
    auto [grad_q, grad_k, grad_v] = graph_->sdpa_backward(q, k, v, out, grad_out, lse, attributes);
    output(grad_q, SdpaBuffers::kGradQ, queries, shape_.grad_q_stride);
    output(grad_k, SdpaBuffers::kGradK, keys, shape_.grad_k_stride);
    output(grad_v, SdpaBuffers::kGradV, keys, shape_.grad_v_stride);
    return graph_;
  }

 private:
  static Tensor_attributes index(const char* name, std::int64_t id, std::int64_t count) {
    return Tensor_attributes()
        .set_name(name)
        .set_uid(id)
        .set_dim({count, 1, 1, 1})
        .set_stride({1, 1, 1, 1})
        .set_data_type(fe::DataType_t::INT32)
        .set_alignment(sizeof(std::int32_t));  // an array may begin behind another one
  }
  TensorPointer offsets(int buffer) { return graph_->tensor(index("offsets", offsets_id(buffer), shape_.num_sequences + 1)); }

  // A token is a row of heads side by side; where a sequence begins is said by its offset, not by the stride of the first dimension.
  std::vector<std::int64_t> dims(std::int64_t heads) const {
    return {shape_.num_sequences, heads, shape_.longest_sequence, shape_.head_dim};
  }
  std::vector<std::int64_t> strides(std::int64_t token_stride) const {
    return {shape_.longest_sequence * token_stride, shape_.head_dim, token_stride, 1};
  }
  TensorPointer input(int buffer, const char* name, std::int64_t heads, std::int64_t token_stride) {
    return graph_->tensor(Tensor_attributes()
                              .set_name(name)
                              .set_uid(buffer_id(buffer))
                              .set_dim(dims(heads))
                              .set_stride(strides(token_stride))
                              .set_ragged_offset(offsets(buffer)));
  }
  void output(const TensorPointer& tensor, int buffer, std::int64_t heads, std::int64_t token_stride) {
    tensor->set_output(true)
        .set_uid(buffer_id(buffer))
        .set_dim(dims(heads))
        .set_stride(strides(token_stride))
        .set_ragged_offset(offsets(buffer));
  }
  // [num_tokens, heads] f32, the natural logarithm.
  Tensor_attributes lse_like(Tensor_attributes attributes) const {
    const std::int64_t heads = shape_.num_attention_heads, longest = shape_.longest_sequence;
    return attributes.set_data_type(fe::DataType_t::FLOAT)
        .set_dim({shape_.num_sequences, heads, longest, 1})
        .set_stride({longest * heads, 1, heads, 1});
  }
  void output_lse(const TensorPointer& lse) {
    *lse = lse_like(*lse);
    lse->set_output(true).set_uid(buffer_id(SdpaBuffers::kLse)).set_ragged_offset(offsets(SdpaBuffers::kLse));
  }
  template <typename Attributes>
  Attributes options(Attributes attributes) {
    return attributes.set_causal_mask(true).set_padding_mask(true).set_seq_len_q(lengths_).set_seq_len_kv(lengths_).set_attn_scale(
        shape_.scale);
  }

  const SdpaShape& shape_;
  std::shared_ptr<fe::graph::Graph> graph_;
  TensorPointer lengths_;
};

class BuiltGraph : public SdpaGraph {
 public:
  BuiltGraph(const SdpaShape& shape, std::shared_ptr<fe::graph::Graph> graph, std::int64_t workspace_bytes)
      : is_backward_(shape.is_backward),
        with_lse_(shape.with_lse || shape.is_backward),
        graph_(std::move(graph)),
        workspace_bytes_(workspace_bytes) {}

  std::int64_t workspace_bytes() const override { return workspace_bytes_; }

  std::string run(cudnnHandle_t handle, const SdpaBuffers& buffers, void* workspace) override {
    std::unordered_map<std::int64_t, void*> pack{{kLengthsId, buffers.lengths}};
    for (int buffer = 0; buffer < SdpaBuffers::kCount; ++buffer) {
      const bool is_gradient = buffer >= SdpaBuffers::kGradOut;
      if ((is_gradient && !is_backward_) || (buffer == SdpaBuffers::kLse && !with_lse_)) continue;
      pack[buffer_id(buffer)] = buffers.address[buffer];
      pack[offsets_id(buffer)] = buffers.offsets[buffer];
    }
    auto status = graph_->execute(handle, pack, workspace);
    return status.is_good() ? std::string() : status.get_message();
  }

 private:
  bool is_backward_, with_lse_;
  std::shared_ptr<fe::graph::Graph> graph_;
  std::int64_t workspace_bytes_;
};

}  // namespace

std::unique_ptr<SdpaGraph> make_sdpa_graph(cudnnHandle_t handle, const SdpaShape& shape, std::string& problem, const AbsentDevice* absent) {
  const auto graph = Builder(shape, absent).make();
  std::int64_t workspace_bytes = 0;
  const auto fails = [&](const char* step, fe::error_t status) {
    problem = status.is_good() ? "" : std::string(step) + ": " + status.get_message();
    return status.is_bad();
  };
  if (absent != nullptr) {
    const auto device = std::make_shared<fe::DeviceProperties>();
    if (fails("device", device->deserialize({absent->json.begin(), absent->json.end()}))) return nullptr;
    graph->set_device_properties(device);
  }
  if (fails("the graph", graph->validate())) return nullptr;
  if (fails("its operations", absent != nullptr ? graph->build_operation_graph() : graph->build_operation_graph(handle))) return nullptr;
  if (fails("its engines", graph->create_execution_plans({fe::HeurMode_t::A}))) return nullptr;
  if (fails("their support", graph->check_support()) || absent != nullptr) return nullptr;
  if (fails("its plans", graph->build_plans())) return nullptr;
  if (fails("its workspace", graph->get_workspace_size(workspace_bytes))) return nullptr;
  return std::make_unique<BuiltGraph>(shape, graph, workspace_bytes);
}

}  // namespace r1::ops::cuda
