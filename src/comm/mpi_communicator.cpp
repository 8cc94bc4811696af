#include "comm/mpi_communicator.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace r1::comm {
namespace {

constexpr int kDataTag = 1, kCallTag = 2, kSizeTag = 3, kPointToPointTag = 4;

// What the ranks compare with check_calls.
struct CallHeader {
  std::uint64_t number = 0;
  std::int64_t elements = 0;  // that all ranks must agree on; -1: they need not
  std::int32_t kind = 0, root = -1;
  char what[48] = {};
};

std::string describe(const CallHeader& header) {
  return fmt::format("#{} {} '{}'{}{}", header.number, collective_name(static_cast<CollectiveKind>(header.kind)), header.what,
                     header.elements >= 0 ? fmt::format(" of {} elements", header.elements) : "",
                     header.root >= 0 ? fmt::format(" from rank {}", header.root) : "");
}

MPI_Datatype mpi_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return MPI_FLOAT;
    case DType::kF64:
      return MPI_DOUBLE;
    case DType::kI32:
      return MPI_INT32_T;
    case DType::kI64:
      return MPI_INT64_T;
    default:
      fail(ErrorKind::kDType, "a reduction over ranks needs float32, float64, int32 or int64, found {}", dtype_name(dtype));
  }
}

MPI_Op mpi_op(Reduce reduce) { return reduce == Reduce::kSum ? MPI_SUM : reduce == Reduce::kMax ? MPI_MAX : MPI_MIN; }

int mpi_count(std::int64_t count) {
  if (count > INT_MAX) fail(ErrorKind::kComm, "a reduction over ranks of {} elements: at most {} at once", count, INT_MAX);
  return static_cast<int>(count);
}

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(std::shared_ptr<MpiTransport> transport, MPI_Comm comm, std::string name, MpiCommunicatorOptions options)
      : transport_(std::move(transport)), comm_(comm), name_(std::move(name)), options_(std::move(options)) {
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }
  ~MpiCommunicator() override {
    // Freeing is collective: not while an error is on its way out of this rank alone.
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }

  int rank() const override { return rank_; }
  int world_size() const override { return size_; }

  Work all_reduce(const ExecContext&, Tensor& x, Reduce reduce, std::string_view what) override {
    auto operation = begin(CollectiveKind::kAllReduce, what, x.num_elements());
    const std::span<std::byte> bytes = operation->buffers.emplace_back(x).bytes();
    operation->phases.push_back(
        [bytes, count = mpi_count(x.num_elements()), type = mpi_type(x.dtype()), op = mpi_op(reduce), size = size_](MpiOperation& o) {
          o.check(MPI_Iallreduce(MPI_IN_PLACE, bytes.data(), count, type, op, o.comm, &o.requests.emplace_back()));
          o.bytes_sent = o.bytes_received = 2 * static_cast<std::int64_t>(bytes.size()) * (size - 1) / size;  // of a ring
        });
    return submit(std::move(operation));
  }

  Work all_gather(const ExecContext&, const Tensor& shard, Tensor& full, std::span<const std::int64_t> counts,
                  std::string_view what) override {
    R1_ASSERT(static_cast<int>(counts.size()) == size_, "all_gather: one count for each rank");
    R1_ASSERT(shard.num_elements() == counts[static_cast<std::size_t>(rank_)], "all_gather: the shard has another size than its count");
    auto operation = begin(CollectiveKind::kAllGather, what, full.num_elements());
    operation->buffers.emplace_back(shard, TransferBytes::Use::kRead);
    operation->buffers.emplace_back(full);
    operation->phases.push_back([this, own_counts = std::vector<std::int64_t>(counts.begin(), counts.end())](MpiOperation& o) {
      const std::span<const std::byte> mine = o.buffers[o.buffers.size() - 2].bytes();
      const TransferBytes& all = o.buffers.back();
      std::vector<std::int64_t> borders(own_counts.size() + 1, 0);
      std::partial_sum(own_counts.begin(), own_counts.end(), borders.begin() + 1);
      for_each_peer([&](int to, int from) {
        o.irecv(all.elements(borders[static_cast<std::size_t>(from)], borders[static_cast<std::size_t>(from) + 1]), from, kDataTag);
        o.isend(mine, to, kDataTag);
      });
      const auto place = all.elements(borders[static_cast<std::size_t>(rank_)], borders[static_cast<std::size_t>(rank_) + 1]);
      if (!mine.empty() && place.data() != mine.data()) std::memcpy(place.data(), mine.data(), mine.size());
    });
    return submit(std::move(operation));
  }

  Work reduce_scatter(const ExecContext&, const Tensor& full, Tensor& shard, std::span<const std::int64_t> counts,
                      std::string_view what) override {
    R1_ASSERT(static_cast<int>(counts.size()) == size_, "reduce_scatter: one count for each rank");
    auto operation = begin(CollectiveKind::kReduceScatter, what, full.num_elements());
    const std::span<std::byte> from = operation->buffers.emplace_back(full, TransferBytes::Use::kRead).bytes(),
                               to = operation->buffers.emplace_back(shard).bytes();
    std::vector<int> int_counts;
    for (const std::int64_t count : counts) int_counts.push_back(mpi_count(count));
    operation->phases.push_back([from, to, int_counts, type = mpi_type(full.dtype()), size = size_](MpiOperation& o) {
      o.check(MPI_Ireduce_scatter(from.data(), to.data(), int_counts.data(), type, MPI_SUM, o.comm, &o.requests.emplace_back()));
      o.bytes_sent = o.bytes_received = static_cast<std::int64_t>(from.size()) * (size - 1) / size;  // of a ring
    });
    return submit(std::move(operation));
  }

  Work all_to_all(const ExecContext&, const Tensor& send, std::span<const ElementRange> send_ranges, Tensor& recv,
                  std::span<const ElementRange> recv_ranges, std::string_view what) override {
    R1_ASSERT(static_cast<int>(send_ranges.size()) == size_ && send_ranges.size() == recv_ranges.size(),
              "all_to_all: one range for each rank");
    auto operation = begin(CollectiveKind::kAllToAll, what, -1);
    operation->buffers.emplace_back(send, TransferBytes::Use::kRead);
    operation->buffers.emplace_back(recv);
    operation->phases.push_back([this, to_ranges = std::vector<ElementRange>(send_ranges.begin(), send_ranges.end()),
                                 from_ranges = std::vector<ElementRange>(recv_ranges.begin(), recv_ranges.end())](MpiOperation& o) {
      const TransferBytes &source = o.buffers[o.buffers.size() - 2], &target = o.buffers.back();
      const auto part = [](const TransferBytes& tensor, ElementRange range) { return tensor.elements(range.begin, range.end); };
      for_each_peer([&](int to, int from) {
        o.irecv(part(target, from_ranges[static_cast<std::size_t>(from)]), from, kDataTag);
        o.isend(part(source, to_ranges[static_cast<std::size_t>(to)]), to, kDataTag);
      });
      const auto own_from = part(source, to_ranges[static_cast<std::size_t>(rank_)]);
      const auto own_to = part(target, from_ranges[static_cast<std::size_t>(rank_)]);
      R1_ASSERT(own_from.size() == own_to.size(), "all_to_all: the own piece must have one size");
      if (!own_from.empty()) std::memmove(own_to.data(), own_from.data(), own_from.size());
    });
    return submit(std::move(operation));
  }

  Work broadcast(const ExecContext&, Tensor& x, int root, std::string_view what) override {
    auto operation = begin(CollectiveKind::kBroadcast, what, x.num_elements(), root);
    const std::span<std::byte> bytes = operation->buffers.emplace_back(x).bytes();
    operation->phases.push_back([bytes, root, rank = rank_](MpiOperation& o) {
      constexpr std::size_t kChunk = std::size_t{1} << 30;
      for (std::size_t at = 0; at < bytes.size(); at += kChunk) {
        const auto count = static_cast<int>(std::min(kChunk, bytes.size() - at));
        o.check(MPI_Ibcast(bytes.data() + at, count, MPI_BYTE, root, o.comm, &o.requests.emplace_back()));
      }
      (rank == root ? o.bytes_sent : o.bytes_received) = static_cast<std::int64_t>(bytes.size());
    });
    return submit(std::move(operation));
  }

  Work send(const ExecContext&, const Tensor& x, int peer, std::string_view what) override {
    return point_to_point(x, what, [peer](MpiOperation& o, std::span<std::byte> bytes) { o.isend(bytes, peer, kPointToPointTag); });
  }

  Work recv(const ExecContext&, Tensor& x, int peer, std::string_view what) override {
    return point_to_point(x, what, [peer](MpiOperation& o, std::span<std::byte> bytes) { o.irecv(bytes, peer, kPointToPointTag); });
  }

  void group_begin() override {
    R1_ASSERT(group_ == nullptr, "group_begin() inside a group");
    group_ = make_operation(CollectiveKind::kPointToPoint, "group");
    group_->phases.emplace_back([](MpiOperation&) {});
  }

  Work group_end() override {
    R1_ASSERT(group_ != nullptr, "group_end() without group_begin()");
    return submit(std::exchange(group_, nullptr));
  }

  std::vector<std::vector<std::byte>> host_gather(std::span<const std::byte> mine, std::string_view what) override {
    auto operation = begin(CollectiveKind::kHostGather, what, -1);
    std::vector<std::int64_t> sizes(static_cast<std::size_t>(size_));
    std::vector<std::vector<std::byte>> parts(static_cast<std::size_t>(size_));
    sizes[static_cast<std::size_t>(rank_)] = static_cast<std::int64_t>(mine.size());
    parts[static_cast<std::size_t>(rank_)].assign(mine.begin(), mine.end());
    operation->phases.push_back([&](MpiOperation& o) {
      for_each_peer([&](int to, int from) {
        o.irecv(std::as_writable_bytes(std::span(&sizes[static_cast<std::size_t>(from)], 1)), from, kSizeTag);
        o.isend(std::as_bytes(std::span(&sizes[static_cast<std::size_t>(rank_)], 1)), to, kSizeTag);
      });
      o.bytes_sent = o.bytes_received = 0;  // sizes are not payload
    });
    operation->phases.push_back([&](MpiOperation& o) {
      for_each_peer([&](int to, int from) {
        std::vector<std::byte>& part = parts[static_cast<std::size_t>(from)];
        part.resize(static_cast<std::size_t>(sizes[static_cast<std::size_t>(from)]));
        o.irecv(part, from, kDataTag);
        o.isend(parts[static_cast<std::size_t>(rank_)], to, kDataTag);
      });
    });
    submit(std::move(operation)).wait();
    return parts;
  }

  void barrier(std::string_view what) override {
    auto operation = begin(CollectiveKind::kBarrier, what, -1);
    operation->phases.push_back([](MpiOperation& o) { o.check(MPI_Ibarrier(o.comm, &o.requests.emplace_back())); });
    submit(std::move(operation)).wait();
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    barrier("split");  // nothing of this group is under way
    MPI_Comm part = MPI_COMM_NULL;
    MPI_Comm_split(comm_, color < 0 ? MPI_UNDEFINED : color, key, &part);
    const int index = num_splits_++;
    if (part == MPI_COMM_NULL) return nullptr;
    return make_mpi_communicator(transport_, part, fmt::format("{}/{}.{}", name_, index, color), options_);
  }

  std::unique_ptr<SharedCounter> make_counter() override {
    R1_ASSERT(options_.make_counter != nullptr, "this communicator has no shared counters");
    return options_.make_counter(fmt::format("{}#{}", name_, num_counters_++));
  }

  CommCounters counters() const override {
    std::lock_guard lock(counters_mutex_);
    return counters_;
  }

 private:
  std::shared_ptr<MpiOperation> make_operation(CollectiveKind kind, std::string_view what) {
    auto operation = std::make_shared<MpiOperation>(*transport_);
    operation->comm = comm_;
    operation->kind = kind;
    operation->what = what;
    operation->number = ++num_operations_;
    operation->on_finished = [this, kind](const MpiOperation& o, double seconds) {
      std::lock_guard lock(counters_mutex_);
      CollectiveCounter& counter = counters_.by_kind[static_cast<std::size_t>(kind)];
      ++counter.calls;
      counter.bytes_sent += o.bytes_sent;
      counter.bytes_received += o.bytes_received;
      counter.busy_seconds += seconds;
    };
    operation->on_waited = [this, kind](double seconds) {
      std::lock_guard lock(counters_mutex_);
      counters_.by_kind[static_cast<std::size_t>(kind)].wait_seconds += seconds;
    };
    return operation;
  }

  // A collective; elements -1: the ranks' sizes may differ.
  std::shared_ptr<MpiOperation> begin(CollectiveKind kind, std::string_view what, std::int64_t elements, int root = -1) {
    R1_ASSERT(group_ == nullptr, "a collective inside group_begin() and group_end()");
    auto operation = make_operation(kind, what);
    if (options_.check_calls) add_call_check(*operation, elements, root);
    return operation;
  }

  void add_call_check(MpiOperation& operation, std::int64_t elements, int root) {
    auto headers = std::make_shared<std::vector<CallHeader>>(static_cast<std::size_t>(size_));
    CallHeader& mine = (*headers)[static_cast<std::size_t>(rank_)];
    mine = {operation.number, elements, static_cast<std::int32_t>(operation.kind), root, {}};
    operation.what.copy(mine.what, sizeof mine.what - 1);
    operation.phases.push_back([this, headers](MpiOperation& o) {
      const auto bytes = [&](int r) { return std::as_writable_bytes(std::span(&(*headers)[static_cast<std::size_t>(r)], 1)); };
      for_each_peer([&](int to, int from) {
        o.irecv(bytes(from), from, kCallTag);
        o.isend(bytes(rank_), to, kCallTag);
      });
    });
    operation.phases.push_back([this, headers](MpiOperation& o) {
      o.bytes_sent = o.bytes_received = 0;
      const CallHeader& own = (*headers)[static_cast<std::size_t>(rank_)];
      for (int r = 0; r < size_; ++r) {
        const CallHeader& other = (*headers)[static_cast<std::size_t>(r)];
        if (std::memcmp(&own, &other, sizeof own) == 0) continue;
        fail(ErrorKind::kComm, "group {}: ranks are in different calls: rank {} in {}, rank {} in {}", name_, std::min(r, rank_),
             describe(r < rank_ ? other : own), std::max(r, rank_), describe(r < rank_ ? own : other));
      }
    });
  }

  Work submit(std::shared_ptr<MpiOperation> operation) {
    transport_->enqueue(operation);
    return Work(std::move(operation));
  }

  template <typename Start>
  Work point_to_point(const Tensor& x, std::string_view what, Start start) {
    const bool grouped = group_ != nullptr;
    std::shared_ptr<MpiOperation> operation = grouped ? group_ : make_operation(CollectiveKind::kPointToPoint, what);
    const std::span<std::byte> bytes = operation->buffers.emplace_back(x).bytes();
    const auto begin_transfer = [start, bytes](MpiOperation& o) { start(o, bytes); };
    if (!grouped) {
      operation->phases.push_back(begin_transfer);
      return submit(std::move(operation));
    }
    // One phase for the whole group.
    operation->phases[0] = [before = std::move(operation->phases[0]), begin_transfer](MpiOperation& o) {
      before(o);
      begin_transfer(o);
    };
    return {};
  }

  // Pairs (to, from) in which all ranks talk to different peers at a time.
  template <typename Visit>
  void for_each_peer(Visit visit) const {
    for (int distance = 1; distance < size_; ++distance) visit((rank_ + distance) % size_, (rank_ - distance + size_) % size_);
  }

  std::shared_ptr<MpiTransport> transport_;
  MPI_Comm comm_;
  std::string name_;
  MpiCommunicatorOptions options_;
  int rank_ = 0, size_ = 1, num_splits_ = 0, num_counters_ = 0;
  std::uint64_t num_operations_ = 0;
  std::shared_ptr<MpiOperation> group_;
  mutable std::mutex counters_mutex_;
  CommCounters counters_;
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(std::shared_ptr<MpiTransport> transport, MPI_Comm comm, std::string name,
                                                    MpiCommunicatorOptions options) {
  return std::make_unique<MpiCommunicator>(std::move(transport), comm, std::move(name), std::move(options));
}

}  // namespace r1::comm
