// What ranks say to each other. Shaped for NCCL: calls enqueue work in order and return at once; no call reads device memory on
// the host.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tensor/exec_context.h"

namespace r1::comm {

enum class Reduce : std::uint8_t { kSum, kMax, kMin };

enum class CollectiveKind : std::uint8_t {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kAllToAll,
  kBroadcast,
  kPointToPoint,
  kHostGather,
  kBarrier
};
inline constexpr int kNumCollectiveKinds = 8;
std::string_view collective_name(CollectiveKind kind);

/// Since the communicator was made. Bytes are payload that crossed to or from another rank.
struct CollectiveCounter {
  std::int64_t calls = 0, bytes_sent = 0, bytes_received = 0;
  double busy_seconds = 0;  // from the start of each transfer to its end
  double wait_seconds = 0;  // that a caller stood still in wait()
};
struct CommCounters {
  std::array<CollectiveCounter, kNumCollectiveKinds> by_kind{};
  const CollectiveCounter& of(CollectiveKind kind) const { return by_kind[static_cast<std::size_t>(kind)]; }
  CollectiveCounter total() const;
};

/// The state behind a Work.
class WorkState {
 public:
  virtual ~WorkState() = default;
  virtual void wait() = 0;
  virtual bool done() = 0;
};

/// A transfer under way. Its tensors stay alive with it; what it writes may be read, and what it reads may be written, after wait().
class Work {
 public:
  Work() = default;
  explicit Work(std::shared_ptr<WorkState> state) : state_(std::move(state)) {}
  /// Returns when the transfer is complete; at once for an empty Work. Throws Error(kComm) when it failed.
  void wait() {
    if (state_) std::exchange(state_, nullptr)->wait();
  }
  bool done() { return !state_ || state_->done(); }
  bool pending() const { return state_ != nullptr; }

 private:
  std::shared_ptr<WorkState> state_;
};

/// Elements [begin, end) of a contiguous tensor.
struct ElementRange {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

/// A counter that all ranks of a group share (a work queue). Not collective: each rank asks when it likes.
class SharedCounter {
 public:
  virtual ~SharedCounter() = default;
  /// The value before `amount` was added.
  virtual std::int64_t fetch_add(std::int64_t amount) = 0;
};

/// A group of ranks. Collective: every rank of the group makes the same calls in the same order; they run in that order. `what`
/// names the payload in diagnoses ("layers.3"). Tensors are contiguous and on the context's device. Calls come from one thread.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;

  /// x = the reduction over all ranks, in an order of the transport's choice; f32, f64, i32, i64.
  virtual Work all_reduce(const ExecContext& ctx, Tensor& x, Reduce reduce, std::string_view what) = 0;
  /// full = the ranks' shards one behind another; counts[r] elements from rank r. shard may be its own place in full.
  virtual Work all_gather(const ExecContext& ctx, const Tensor& shard, Tensor& full, std::span<const std::int64_t> counts,
                          std::string_view what) = 0;
  /// shard = this rank's counts[rank] elements of the sum over all ranks' full, in an order of the transport's choice; f32, f64.
  virtual Work reduce_scatter(const ExecContext& ctx, const Tensor& full, Tensor& shard, std::span<const std::int64_t> counts,
                              std::string_view what) = 0;
  /// Elements send_ranges[r] of send go to rank r; recv_ranges[r] of recv come from it. The own pair may be empty: nothing is copied.
  virtual Work all_to_all(const ExecContext& ctx, const Tensor& send, std::span<const ElementRange> send_ranges, Tensor& recv,
                          std::span<const ElementRange> recv_ranges, std::string_view what) = 0;
  virtual Work broadcast(const ExecContext& ctx, Tensor& x, int root, std::string_view what) = 0;
  /// Between group_begin and group_end sends and receives are collected; they start together, so that exchanges cannot block.
  virtual Work send(const ExecContext& ctx, const Tensor& x, int peer, std::string_view what) = 0;
  virtual Work recv(const ExecContext& ctx, Tensor& x, int peer, std::string_view what) = 0;
  virtual void group_begin() = 0;
  /// All collected calls; the Works that they returned are empty.
  virtual Work group_end() = 0;

  /// Every rank's bytes, on every rank, in rank order; of any length each. Returns when they are there.
  virtual std::vector<std::vector<std::byte>> host_gather(std::span<const std::byte> mine, std::string_view what) = 0;
  virtual void barrier(std::string_view what) = 0;

  /// Ranks with the same color form a group, ordered by (key, rank). A negative color joins none: null.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;
  /// Collective. Starts at 0.
  virtual std::unique_ptr<SharedCounter> make_counter() = 0;

  virtual CommCounters counters() const = 0;

  /// Every rank's value of a plain type, in rank order.
  template <typename T>
  std::vector<T> host_gather_value(const T& value, std::string_view what) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<T> result;
    for (const std::vector<T>& part : host_gather_values(std::span<const T>(&value, 1), what)) result.push_back(part.at(0));
    return result;
  }
  /// Every rank's values of a plain type, in rank order; of any number each.
  template <typename T>
  std::vector<std::vector<T>> host_gather_values(std::span<const T> values, std::string_view what) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::vector<std::vector<T>> result;
    for (const std::vector<std::byte>& part : host_gather(std::as_bytes(values), what)) {
      std::vector<T>& typed = result.emplace_back(part.size() / sizeof(T));
      copy_bytes(part, std::as_writable_bytes(std::span<T>(typed)));
    }
    return result;
  }

 private:
  static void copy_bytes(std::span<const std::byte> from, std::span<std::byte> to);
};

/// One rank: every call is done when it returns.
std::unique_ptr<Communicator> make_self_communicator();

}  // namespace r1::comm
