#include "comm/planned_communicator.h"

#include "base/error.h"

namespace r1::comm {
namespace {

class AloneCounter : public SharedCounter {
 public:
  std::int64_t fetch_add(std::int64_t amount) override { return std::exchange(value_, value_ + amount); }

 private:
  std::int64_t value_ = 0;
};

/// Keeps its tensors until somebody waits, as a transfer under way does.
class Held : public WorkState {
 public:
  explicit Held(std::initializer_list<Tensor> tensors) : tensors_(tensors) {}
  void wait() override {}
  bool done() override { return false; }

 private:
  std::vector<Tensor> tensors_;
};

class PlannedCommunicator : public Communicator {
 public:
  PlannedCommunicator(int rank, int world_size) : rank_(rank), size_(world_size) {}

  int rank() const override { return rank_; }
  int world_size() const override { return size_; }

  Work all_reduce(const ExecContext&, Tensor& x, Reduce, std::string_view) override {
    const std::int64_t ring = 2 * bytes_of(x) * (size_ - 1) / size_;
    return count(CollectiveKind::kAllReduce, ring, ring, {x});
  }

  Work all_gather(const ExecContext&, const Tensor& shard, Tensor& full, std::span<const std::int64_t>, std::string_view) override {
    return count(CollectiveKind::kAllGather, bytes_of(shard) * (size_ - 1), bytes_of(full) - bytes_of(shard), {shard, full});
  }

  Work reduce_scatter(const ExecContext&, const Tensor& full, Tensor& shard, std::span<const std::int64_t>, std::string_view) override {
    const std::int64_t ring = bytes_of(full) * (size_ - 1) / size_;
    return count(CollectiveKind::kReduceScatter, ring, ring, {full, shard});
  }

  Work all_to_all(const ExecContext&, const Tensor& send, std::span<const ElementRange> send_ranges, Tensor& recv,
                  std::span<const ElementRange> recv_ranges, std::string_view) override {
    return count(CollectiveKind::kAllToAll, to_others(send, send_ranges), to_others(recv, recv_ranges), {send, recv});
  }

  Work broadcast(const ExecContext&, Tensor& x, int root, std::string_view) override {
    return count(CollectiveKind::kBroadcast, rank_ == root ? bytes_of(x) : 0, rank_ == root ? 0 : bytes_of(x), {x});
  }
  Work send(const ExecContext&, const Tensor& x, int, std::string_view) override {
    return count(CollectiveKind::kPointToPoint, bytes_of(x), 0, {x});
  }
  Work recv(const ExecContext&, Tensor& x, int, std::string_view) override {
    return count(CollectiveKind::kPointToPoint, 0, bytes_of(x), {x});
  }
  void group_begin() override {}
  Work group_end() override { return {}; }

  std::vector<std::vector<std::byte>> host_gather(std::span<const std::byte> mine, std::string_view) override {
    const auto others = static_cast<std::int64_t>(mine.size()) * (size_ - 1);
    count(CollectiveKind::kHostGather, others, others, {});
    return std::vector<std::vector<std::byte>>(static_cast<std::size_t>(size_), {mine.begin(), mine.end()});
  }
  void barrier(std::string_view) override { count(CollectiveKind::kBarrier, 0, 0, {}); }

  std::unique_ptr<Communicator> split(int, int) override {
    fail(ErrorKind::kInternal, "the group of a plan is not split: its parts are not known");
  }
  std::unique_ptr<SharedCounter> make_counter() override { return std::make_unique<AloneCounter>(); }
  CommCounters counters() const override { return counters_; }

 private:
  static std::int64_t bytes_of(const Tensor& tensor) { return static_cast<std::int64_t>(tensor.num_bytes()); }

  std::int64_t to_others(const Tensor& tensor, std::span<const ElementRange> ranges) const {
    std::int64_t elements = 0;
    for (int r = 0; r < size_; ++r) elements += r == rank_ ? 0 : ranges[static_cast<std::size_t>(r)].size();
    return elements * static_cast<std::int64_t>(size_of(tensor.dtype()));
  }

  Work count(CollectiveKind kind, std::int64_t sent, std::int64_t received, std::initializer_list<Tensor> tensors) {
    CollectiveCounter& counter = counters_.by_kind[static_cast<std::size_t>(kind)];
    ++counter.calls;
    counter.bytes_sent += sent;
    counter.bytes_received += received;
    return Work(std::make_shared<Held>(tensors));
  }

  int rank_, size_;
  CommCounters counters_;
};

}  // namespace

std::unique_ptr<Communicator> make_planned_communicator(int rank, int world_size) {
  R1_ASSERT(world_size >= 1 && rank >= 0 && rank < world_size, "a planned rank outside its group");
  return std::make_unique<PlannedCommunicator>(rank, world_size);
}

}  // namespace r1::comm
