#include "comm/device_communicator.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/log.h"
#include "comm/activity.h"
#include "tensor/cuda_module.h"
#include "tensor/transfer_bytes.h"

namespace r1::comm {
namespace {

void check_transfer(const char* problem, std::string_view what) {
  if (problem != nullptr) fail(ErrorKind::kComm, "transfer between GPUs '{}': {}", what, problem);
}

R1CudaElement element_of(DType dtype, bool reduces) {
  switch (dtype) {
    case DType::kF32:
      return R1_CUDA_F32;
    case DType::kF64:
      return R1_CUDA_F64;
    case DType::kI32:
      return R1_CUDA_I32;
    case DType::kI64:
      return R1_CUDA_I64;
    default:
      if (!reduces) return R1_CUDA_BYTE;
      fail(ErrorKind::kDType, "a reduction over ranks needs float32, float64, int32 or int64, found {}", dtype_name(dtype));
  }
}

/// One NCCL group; shared by the communicator and the transfers that are under way.
struct Group {
  const R1CudaModule& module;
  void* handle = nullptr;
  ~Group() {
    if (handle != nullptr) module.leave_group(handle, std::uncaught_exceptions() > 0);
  }
};

class NcclWork : public WorkState {
 public:
  NcclWork(std::shared_ptr<Group> group, void* event, std::vector<Tensor> tensors, std::string what)
      : group_(std::move(group)), event_(event), tensors_(std::move(tensors)), what_(std::move(what)) {}
  // The tensors' memory may be reused in the order of the device's stream, which therefore has to come after the transfer.
  ~NcclWork() override {
    if (event_ != nullptr) group_->module.wait_event(group_->handle, event_);
  }
  void wait() override {
    if (event_ == nullptr) return;
    check_transfer(group_->module.wait_event(group_->handle, std::exchange(event_, nullptr)), what_);
    check_transfer(group_->module.group_error(group_->handle), what_);
    tensors_.clear();
  }
  bool done() override {
    bool is_complete = true;
    if (event_ != nullptr) check_transfer(group_->module.query_event(group_->handle, event_, &is_complete), what_);
    return is_complete;
  }

 private:
  std::shared_ptr<Group> group_;
  void* event_;
  std::vector<Tensor> tensors_;
  std::string what_;
};

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const ExecContext& ctx, Communicator& host, std::unique_ptr<Communicator> owned_host)
      : ctx_(ctx), host_(host), owned_host_(std::move(owned_host)), group_(std::make_shared<Group>(Group{cuda_module()})) {
    // The first rank's id reaches the others by way of the host.
    struct Id {
      std::uint8_t bytes[R1_CUDA_GROUP_ID_BYTES] = {};
    } id;
    if (host_.rank() == 0) check_transfer(group_->module.make_group_id(id.bytes), "id of the group");
    id = host_.host_gather_value(id, "id of the GPUs' group")[0];
    check_transfer(group_->module.join_group(ctx.device().index, id.bytes, host_.rank(), host_.world_size(), &group_->handle),
                   "joining the group");
    watch_ = watch_device_transfers([group = group_.get(), rank = host_.rank(), world_size = host_.world_size()]() -> std::string {
      const char* problem = group->module.group_error(group->handle);
      if (problem == nullptr) return {};
      return fmt::format("transfer between GPUs failed on rank {} of a group of {}: {}; NCCL_DEBUG=WARN says more", rank, world_size,
                         problem);
    });
  }

  int rank() const override { return host_.rank(); }
  int world_size() const override { return host_.world_size(); }

  // Messages in host memory go by way of the host.

  Work all_reduce(const ExecContext& ctx, Tensor& x, Reduce reduce, std::string_view what) override {
    if (is_on_host(x)) return host_.all_reduce(ctx, x, reduce, what);
    const auto bytes = 2 * static_cast<std::int64_t>(x.num_bytes()) * (world_size() - 1) / world_size();  // of a ring
    return run(CollectiveKind::kAllReduce, what, {x}, bytes, bytes, [&] {
      const auto operation = reduce == Reduce::kSum ? R1_CUDA_SUM : reduce == Reduce::kMax ? R1_CUDA_MAX : R1_CUDA_MIN;
      return group_->module.all_reduce(group_->handle, device_address(x), device_address(x), static_cast<std::uint64_t>(x.num_elements()),
                                       element_of(x.dtype(), true), operation);
    });
  }

  Work all_gather(const ExecContext& ctx, const Tensor& shard, Tensor& full, std::span<const std::int64_t> counts,
                  std::string_view what) override {
    if (is_on_host(full)) return host_.all_gather(ctx, shard, full, counts, what);
    R1_ASSERT(static_cast<int>(counts.size()) == world_size(), "all_gather: one count for each rank");
    const auto sent = static_cast<std::int64_t>(shard.num_bytes()) * (world_size() - 1);
    return run(CollectiveKind::kAllGather, what, {shard, full}, sent,
               static_cast<std::int64_t>(full.num_bytes()) - static_cast<std::int64_t>(shard.num_bytes()), [&]() -> const char* {
                 std::int64_t begin = 0;
                 for (int r = 0; r < world_size(); ++r) {  // shards differ in size: one broadcast each
                   const std::int64_t count = counts[static_cast<std::size_t>(r)];
                   void* place = device_address(full, begin);
                   begin += count;
                   if (count == 0) continue;
                   const void* from = r == rank() ? device_address(shard) : place;
                   const char* problem = group_->module.broadcast(group_->handle, from, place, bytes_of(full, count), R1_CUDA_BYTE, r);
                   if (problem != nullptr) return problem;
                 }
                 return nullptr;
               });
  }

  Work reduce_scatter(const ExecContext& ctx, const Tensor& full, Tensor& shard, std::span<const std::int64_t> counts,
                      std::string_view what) override {
    if (is_on_host(full)) return host_.reduce_scatter(ctx, full, shard, counts, what);
    R1_ASSERT(static_cast<int>(counts.size()) == world_size(), "reduce_scatter: one count for each rank");
    const auto bytes = static_cast<std::int64_t>(full.num_bytes()) * (world_size() - 1) / world_size();
    return run(CollectiveKind::kReduceScatter, what, {full, shard}, bytes, bytes, [&]() -> const char* {
      std::int64_t begin = 0;
      for (int r = 0; r < world_size(); ++r) {
        const std::int64_t count = counts[static_cast<std::size_t>(r)];
        const void* from = device_address(full, begin);
        begin += count;
        if (count == 0) continue;
        const char* problem = group_->module.reduce(group_->handle, from, device_address(shard), static_cast<std::uint64_t>(count),
                                                    element_of(full.dtype(), true), R1_CUDA_SUM, r);
        if (problem != nullptr) return problem;
      }
      return nullptr;
    });
  }

  Work all_to_all(const ExecContext& ctx, const Tensor& send, std::span<const ElementRange> send_ranges, Tensor& recv,
                  std::span<const ElementRange> recv_ranges, std::string_view what) override {
    if (is_on_host(send)) return host_.all_to_all(ctx, send, send_ranges, recv, recv_ranges, what);
    R1_ASSERT(static_cast<int>(send_ranges.size()) == world_size() && send_ranges.size() == recv_ranges.size(),
              "all_to_all: one range for each rank");
    const auto own = static_cast<std::size_t>(rank());
    R1_ASSERT(send_ranges[own].size() == recv_ranges[own].size(), "all_to_all: the own piece must have one size");
    copy_on_device(send, send_ranges[own].begin, recv, recv_ranges[own].begin, send_ranges[own].size());
    std::int64_t sent = 0, received = 0;
    for (std::size_t r = 0; r < send_ranges.size(); ++r) {
      if (r == own) continue;
      sent += static_cast<std::int64_t>(bytes_of(send, send_ranges[r].size()));
      received += static_cast<std::int64_t>(bytes_of(recv, recv_ranges[r].size()));
    }
    return run(CollectiveKind::kAllToAll, what, {send, recv}, sent, received, [&]() -> const char* {
      for (int r = 0; r < world_size(); ++r) {
        if (r == rank()) continue;
        const ElementRange to = send_ranges[static_cast<std::size_t>(r)], from = recv_ranges[static_cast<std::size_t>(r)];
        const char* problem = nullptr;
        if (to.size() > 0) problem = group_->module.send(group_->handle, device_address(send, to.begin), bytes_of(send, to.size()), r);
        if (problem == nullptr && from.size() > 0) {
          problem = group_->module.receive(group_->handle, device_address(recv, from.begin), bytes_of(recv, from.size()), r);
        }
        if (problem != nullptr) return problem;
      }
      return nullptr;
    });
  }

  Work broadcast(const ExecContext& ctx, Tensor& x, int root, std::string_view what) override {
    if (is_on_host(x)) return host_.broadcast(ctx, x, root, what);
    const auto bytes = static_cast<std::int64_t>(x.num_bytes());
    return run(CollectiveKind::kBroadcast, what, {x}, rank() == root ? bytes : 0, rank() == root ? 0 : bytes, [&] {
      return group_->module.broadcast(group_->handle, device_address(x), device_address(x), x.num_bytes(), R1_CUDA_BYTE, root);
    });
  }

  Work send(const ExecContext& ctx, const Tensor& x, int peer, std::string_view what) override {
    if (is_on_host(x)) return host_.send(ctx, x, peer, what);
    return point_to_point(x, what, static_cast<std::int64_t>(x.num_bytes()), 0,
                          [&] { return group_->module.send(group_->handle, device_address(x), x.num_bytes(), peer); });
  }
  Work recv(const ExecContext& ctx, Tensor& x, int peer, std::string_view what) override {
    if (is_on_host(x)) return host_.recv(ctx, x, peer, what);
    return point_to_point(x, what, 0, static_cast<std::int64_t>(x.num_bytes()),
                          [&] { return group_->module.receive(group_->handle, device_address(x), x.num_bytes(), peer); });
  }
  void group_begin() override {
    R1_ASSERT(!is_grouped_, "group_begin() inside a group");
    is_grouped_ = true;
    check_transfer(group_->module.begin_transfers(group_->handle), "group");
  }
  Work group_end() override {
    R1_ASSERT(is_grouped_, "group_end() without group_begin()");
    is_grouped_ = false;
    return end(std::exchange(grouped_, {}), "group");
  }

  std::vector<std::vector<std::byte>> host_gather(std::span<const std::byte> mine, std::string_view what) override {
    return host_.host_gather(mine, what);
  }
  void barrier(std::string_view what) override { host_.barrier(what); }

  std::unique_ptr<Communicator> split(int color, int key) override {
    std::unique_ptr<Communicator> part = host_.split(color, key);
    if (!part || part->world_size() == 1) return part;
    Communicator& part_host = *part;
    return std::make_unique<NcclCommunicator>(ctx_, part_host, std::move(part));
  }
  std::unique_ptr<SharedCounter> make_counter() override { return host_.make_counter(); }

  CommCounters counters() const override {
    CommCounters all = host_.counters();
    for (std::size_t kind = 0; kind < all.by_kind.size(); ++kind) {
      all.by_kind[kind].calls += counters_.by_kind[kind].calls;
      all.by_kind[kind].bytes_sent += counters_.by_kind[kind].bytes_sent;
      all.by_kind[kind].bytes_received += counters_.by_kind[kind].bytes_received;
    }
    return all;
  }

 private:
  static bool is_on_host(const Tensor& x) { return x.device().kind != DeviceKind::kCuda; }
  static std::uint64_t bytes_of(const Tensor& x, std::int64_t count) { return static_cast<std::uint64_t>(count) * size_of(x.dtype()); }

  void count(CollectiveKind kind, std::string_view what, std::int64_t sent, std::int64_t received) {
    note_collective(++num_operations_, collective_name(kind), what);
    CollectiveCounter& counter = counters_.by_kind[static_cast<std::size_t>(kind)];
    ++counter.calls;
    counter.bytes_sent += sent;
    counter.bytes_received += received;
  }

  Work end(std::vector<Tensor> tensors, std::string_view what) {
    void* event = nullptr;
    check_transfer(group_->module.end_transfers(group_->handle, &event), what);
    return Work(std::make_shared<NcclWork>(group_, event, std::move(tensors), std::string(what)));
  }

  template <typename Start>
  Work run(CollectiveKind kind, std::string_view what, std::vector<Tensor> tensors, std::int64_t sent, std::int64_t received, Start start) {
    R1_ASSERT(!is_grouped_, "a collective inside group_begin() and group_end()");
    count(kind, what, sent, received);
    check_transfer(group_->module.begin_transfers(group_->handle), what);
    std::string problem;
    try {
      if (const char* text = start()) problem = text;
    } catch (const Error&) {
      abandon();
      throw;
    }
    if (!problem.empty()) abandon();
    check_transfer(problem.empty() ? nullptr : problem.c_str(), what);
    return end(std::move(tensors), what);
  }

  /// What was begun must end before the group can be given up: else its calls queue behind it for good.
  void abandon() {
    void* event = nullptr;
    if (group_->module.end_transfers(group_->handle, &event) == nullptr) group_->module.wait_event(group_->handle, event);
  }

  template <typename Start>
  Work point_to_point(const Tensor& x, std::string_view what, std::int64_t sent, std::int64_t received, Start start) {
    if (!is_grouped_) return run(CollectiveKind::kPointToPoint, what, {x}, sent, received, start);
    count(CollectiveKind::kPointToPoint, what, sent, received);
    check_transfer(start(), what);
    grouped_.push_back(x);
    return {};
  }

  const ExecContext& ctx_;
  Communicator& host_;
  std::unique_ptr<Communicator> owned_host_;
  std::shared_ptr<Group> group_;
  std::shared_ptr<void> watch_;  // goes before the group does
  bool is_grouped_ = false;
  std::vector<Tensor> grouped_;
  std::uint64_t num_operations_ = 0;
  CommCounters counters_;
};

/// Which GPU a rank has: the same for two ranks when they share one.
struct Place {
  char host[64] = {};
  std::uint8_t uuid[16] = {};
  bool operator==(const Place&) const = default;
};

Place place_of(const ExecContext& ctx) {
  R1CudaDevice device{};
  check_cuda(cuda_module().describe_device(ctx.device().index, &device), "CUDA device");
  Place place;
  gethostname(place.host, sizeof place.host - 1);
  std::memcpy(place.uuid, device.uuid, sizeof place.uuid);
  return place;
}

/// What the ranks compare before they join.
struct Candidate {
  Place place;
  bool has_nccl = false;
};

bool has_nccl(const R1CudaModule& module) {
  R1CudaLibrary library{};
  for (std::int32_t number = 0; module.describe_library(number, &library); ++number) {
    if (std::string_view(library.name) == "NCCL") return library.path[0] != '\0';
  }
  return false;
}

}  // namespace

std::unique_ptr<Communicator> make_device_communicator(const ExecContext& ctx, Communicator& host) {
  if (ctx.device().kind != DeviceKind::kCuda || host.world_size() == 1) return nullptr;
  const Candidate mine{place_of(ctx), has_nccl(cuda_module())};
  const std::vector<Candidate> all = host.host_gather_value(mine, "devices");
  const auto staged = [&](std::string_view reason) {
    if (host.rank() == 0) log::notice("{}: transfers between ranks pass through host memory", reason);
    return nullptr;
  };
  for (std::size_t a = 0; a < all.size(); ++a) {
    if (!all[a].has_nccl) return staged("NCCL is not on every rank");
    for (std::size_t b = 0; b < a; ++b) {
      if (all[a].place == all[b].place) return staged("several ranks share a GPU");
    }
  }
  return std::make_unique<NcclCommunicator>(ctx, host, nullptr);
}

std::unique_ptr<Communicator> make_device_communicator(const ExecContext& ctx, Communicator& host, int num_ranks_of_model) {
  return num_ranks_of_model > 1 ? make_device_communicator(ctx, host) : nullptr;
}

int ranks_sharing_memory(const ExecContext& ctx, Communicator& host, int ranks_on_host) {
  if (ctx.device().kind != DeviceKind::kCuda) return ranks_on_host;
  const Place mine = place_of(ctx);
  return static_cast<int>(std::ranges::count(host.host_gather_value(mine, "devices"), mine));
}

}  // namespace r1::comm
