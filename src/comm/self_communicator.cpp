#include <cstring>

#include "base/error.h"
#include "comm/communicator.h"
#include "tensor/transfer_bytes.h"

namespace r1::comm {

std::string_view collective_name(CollectiveKind kind) {
  constexpr std::string_view kNames[] = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all",
                                         "broadcast",  "send/recv",  "host_gather",    "barrier"};
  return kNames[static_cast<std::size_t>(kind)];
}

CollectiveCounter CommCounters::total() const {
  CollectiveCounter sum;
  for (const CollectiveCounter& counter : by_kind) {
    sum.calls += counter.calls;
    sum.bytes_sent += counter.bytes_sent;
    sum.bytes_received += counter.bytes_received;
    sum.busy_seconds += counter.busy_seconds;
    sum.wait_seconds += counter.wait_seconds;
  }
  return sum;
}

void Communicator::copy_bytes(std::span<const std::byte> from, std::span<std::byte> to) {
  R1_ASSERT(from.size() == to.size(), "a rank sent a number of bytes that is no multiple of the type's size");
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
}

namespace {

class LocalCounter : public SharedCounter {
 public:
  std::int64_t fetch_add(std::int64_t amount) override { return std::exchange(value_, value_ + amount); }

 private:
  std::int64_t value_ = 0;
};

void copy_elements(const Tensor& from, ElementRange from_range, const Tensor& to, ElementRange to_range) {
  R1_ASSERT(from_range.size() == to_range.size(), "a transfer of one rank must send as much as it receives");
  if (from_range.size() == 0) return;
  if (copy_on_device(from, from_range.begin, to, to_range.begin, from_range.size())) return;
  const TransferBytes source(from), target(to);
  std::memmove(target.elements(to_range.begin, to_range.end).data(), source.elements(from_range.begin, from_range.end).data(),
               source.elements(from_range.begin, from_range.end).size());
}

class SelfCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int world_size() const override { return 1; }

  Work all_reduce(const ExecContext&, Tensor&, Reduce, std::string_view) override { return count(CollectiveKind::kAllReduce); }

  Work all_gather(const ExecContext&, const Tensor& shard, Tensor& full, std::span<const std::int64_t> counts, std::string_view) override {
    copy_elements(shard, {0, counts[0]}, full, {0, counts[0]});
    return count(CollectiveKind::kAllGather);
  }

  Work reduce_scatter(const ExecContext&, const Tensor& full, Tensor& shard, std::span<const std::int64_t> counts,
                      std::string_view) override {
    copy_elements(full, {0, counts[0]}, shard, {0, counts[0]});
    return count(CollectiveKind::kReduceScatter);
  }

  Work all_to_all(const ExecContext&, const Tensor& send, std::span<const ElementRange> send_ranges, Tensor& recv,
                  std::span<const ElementRange> recv_ranges, std::string_view) override {
    copy_elements(send, send_ranges[0], recv, recv_ranges[0]);
    return count(CollectiveKind::kAllToAll);
  }

  Work broadcast(const ExecContext&, Tensor&, int, std::string_view) override { return count(CollectiveKind::kBroadcast); }
  Work send(const ExecContext&, const Tensor&, int peer, std::string_view) override { no_peer(peer); }
  Work recv(const ExecContext&, Tensor&, int peer, std::string_view) override { no_peer(peer); }
  void group_begin() override {}
  Work group_end() override { return {}; }

  std::vector<std::vector<std::byte>> host_gather(std::span<const std::byte> mine, std::string_view) override {
    count(CollectiveKind::kHostGather);
    return {{mine.begin(), mine.end()}};
  }
  void barrier(std::string_view) override { count(CollectiveKind::kBarrier); }

  std::unique_ptr<Communicator> split(int color, int) override { return color < 0 ? nullptr : make_self_communicator(); }
  std::unique_ptr<SharedCounter> make_counter() override { return std::make_unique<LocalCounter>(); }
  CommCounters counters() const override { return counters_; }

 private:
  [[noreturn]] static void no_peer(int peer) { fail(ErrorKind::kInternal, "send or recv with rank {} in a group of one", peer); }

  Work count(CollectiveKind kind) {
    ++counters_.by_kind[static_cast<std::size_t>(kind)].calls;
    return {};
  }

  CommCounters counters_;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() { return std::make_unique<SelfCommunicator>(); }

}  // namespace r1::comm
