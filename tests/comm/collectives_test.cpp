// The collectives on one rank, and on three real MPI ranks.
#include <gmock/gmock.h>

#include <numeric>

#include "base/progress.h"
#include "comm/activity.h"
#include "engine/work_queue.h"
#include "ops/copy.h"
#include "ops/elementwise.h"
#include "tests/support/guarded_device.h"
#include "tests/support/on_ranks.h"

namespace r1::comm {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

Tensor tensor(const ExecContext& ctx, const std::vector<float>& values) {
  return ops::to_device(ctx, Tensor::host_from<float>(values, {static_cast<std::int64_t>(values.size())}, DType::kF32));
}

std::vector<float> values(const ExecContext& ctx, const Tensor& x) {
  const Tensor host = ops::to_host(ctx, x);
  const auto span = host.host_span<float>();
  return {span.begin(), span.end()};
}

TEST(SelfCommunicator, CopiesWithoutTouchingGuardedMemoryOutsideOfTheTransfer) {
  const auto ctx = test::make_guarded_context(1);
  const auto self = make_self_communicator();
  Tensor full = tensor(*ctx, {0, 0, 0});
  const std::int64_t counts[] = {3};
  self->all_gather(*ctx, tensor(*ctx, {1, 2, 3}), full, counts, "x").wait();
  EXPECT_THAT(values(*ctx, full), ElementsAre(1, 2, 3));
  const ElementRange from[] = {{1, 3}}, to[] = {{0, 2}};
  self->all_to_all(*ctx, full, from, full, to, "x").wait();
  EXPECT_THAT(values(*ctx, full), ElementsAre(2, 3, 3));
  EXPECT_EQ(self->counters().total().calls, 2);
  EXPECT_EQ(self->counters().total().bytes_sent, 0);
}

void gathers_pieces_of_any_size(const ExecContext& ctx, Communicator& comm) {
  const int rank = comm.rank();
  const std::int64_t counts[] = {2, 0, 3};
  const std::vector<float> pieces[] = {{1, 2}, {}, {3, 4, 5}};
  Tensor full = ctx.empty({5});
  comm.all_gather(ctx, tensor(ctx, pieces[rank]), full, counts, "pieces").wait();
  EXPECT_THAT(values(ctx, full), ElementsAre(1, 2, 3, 4, 5));
  // In place.
  Tensor own = tensor(ctx, std::vector<float>(5, static_cast<float>(10 + rank)));
  const std::int64_t begin[] = {0, 2, 2};
  comm.all_gather(ctx, own.slice(begin[rank], {counts[rank]}), own, counts, "in place").wait();
  EXPECT_THAT(values(ctx, own), ElementsAre(10, 10, 12, 12, 12));
}

void exchanges_pieces(const ExecContext& ctx, Communicator& comm) {
  const int rank = comm.rank();
  // Rank r sends r + 1 elements to each other rank, all of them r * 100 + the receiver.
  std::vector<float> send;
  std::vector<ElementRange> to(3), from(3);
  std::int64_t at = 0, received = 0;
  for (int peer = 0; peer < 3; ++peer) {
    if (peer == rank) continue;
    to[static_cast<std::size_t>(peer)] = {at, at + rank + 1};
    at += rank + 1;
    send.insert(send.end(), static_cast<std::size_t>(rank) + 1, static_cast<float>(rank * 100 + peer));
    from[static_cast<std::size_t>(peer)] = {received, received + peer + 1};
    received += peer + 1;
  }
  Tensor receive = ctx.empty({received});
  comm.all_to_all(ctx, tensor(ctx, send), to, receive, from, "pieces").wait();
  std::vector<float> expected;
  for (int peer = 0; peer < 3; ++peer) {
    if (peer != rank) expected.insert(expected.end(), static_cast<std::size_t>(peer) + 1, static_cast<float>(peer * 100 + rank));
  }
  EXPECT_THAT(values(ctx, receive), ElementsAreArray(expected));
}

void reduces(const ExecContext& ctx, Communicator& comm) {
  const auto rank = static_cast<float>(comm.rank());
  Tensor sum = tensor(ctx, {rank, 1}), maximum = tensor(ctx, {rank, -rank});
  comm.all_reduce(ctx, sum, Reduce::kSum, "sum").wait();
  comm.all_reduce(ctx, maximum, Reduce::kMax, "maximum").wait();
  EXPECT_THAT(values(ctx, sum), ElementsAre(3, 3));
  EXPECT_THAT(values(ctx, maximum), ElementsAre(2, 0));
  const std::int64_t counts[] = {1, 2, 0};
  Tensor shard = ctx.empty({counts[comm.rank()]});
  comm.reduce_scatter(ctx, tensor(ctx, {1, 2 + rank, 3}), shard, counts, "shards").wait();
  const std::vector<float> expected[] = {{3}, {9, 9}, {}};
  EXPECT_THAT(values(ctx, shard), ElementsAreArray(expected[comm.rank()]));
  Tensor sent = tensor(ctx, {rank});
  comm.broadcast(ctx, sent, 2, "value").wait();
  EXPECT_THAT(values(ctx, sent), ElementsAre(2));
}

void sends_in_a_ring(const ExecContext& ctx, Communicator& comm) {
  // Larger than what MPI sends without the receiver's consent: without the group, everybody would wait to send.
  Tensor mine = ctx.empty({1 << 18}), theirs = ctx.empty({1 << 18});
  ops::fill(ctx, mine, static_cast<float>(comm.rank()));
  comm.group_begin();
  comm.send(ctx, mine, (comm.rank() + 1) % 3, "ring");
  comm.recv(ctx, theirs, (comm.rank() + 2) % 3, "ring");
  comm.group_end().wait();
  EXPECT_EQ(values(ctx, theirs).back(), static_cast<float>((comm.rank() + 2) % 3));
}

void splits_into_groups(const ExecContext& ctx, Communicator& comm) {
  const auto group = comm.split(comm.rank() == 1 ? 7 : 3, -comm.rank());  // {2, 0} and {1}
  ASSERT_EQ(group->world_size(), comm.rank() == 1 ? 1 : 2);
  EXPECT_EQ(group->rank(), comm.rank() == 0 ? 1 : 0);
  Tensor x = tensor(ctx, {1});
  group->all_reduce(ctx, x, Reduce::kSum, "group").wait();
  EXPECT_THAT(values(ctx, x), ElementsAre(static_cast<float>(group->world_size())));
  EXPECT_EQ(comm.split(comm.rank() == 0 ? 0 : -1, 0) == nullptr, comm.rank() != 0);
}

void hands_out_each_item_once(Communicator& comm) {
  engine::WorkQueue queue(comm, 100), other(comm, 5);
  std::vector<std::int64_t> mine;
  for (auto items = queue.take(3); !items.empty(); items = queue.take(3)) {
    for (std::int64_t item = items.begin; item < items.end; ++item) mine.push_back(item);
  }
  EXPECT_TRUE(queue.take(1).empty());
  std::vector<std::int64_t> all;
  for (const auto& part : comm.host_gather_values(std::span<const std::int64_t>(mine), "items"))
    all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end());
  std::vector<std::int64_t> expected(100);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
  if (comm.rank() == 2) EXPECT_EQ(other.take(7).end, 5);
}

TEST(MpiCommunicator, DoesEveryCollectiveOnThreeRanks) {
  test::on_ranks(3, [](World& world) {
    const auto ctx = make_cpu_context(1);
    Communicator& comm = world.communicator();
    gathers_pieces_of_any_size(*ctx, comm);
    const CommCounters before = comm.counters();
    exchanges_pieces(*ctx, comm);
    const auto sent = comm.counters().of(CollectiveKind::kAllToAll).bytes_sent - before.of(CollectiveKind::kAllToAll).bytes_sent;
    EXPECT_EQ(sent, 2 * (comm.rank() + 1) * 4);
    reduces(*ctx, comm);
    sends_in_a_ring(*ctx, comm);
    splits_into_groups(*ctx, comm);
    hands_out_each_item_once(comm);
    EXPECT_THAT(comm.host_gather_value(comm.rank() * 10, "ranks"), ElementsAre(0, 10, 20));
    // Work under way while the caller does something else, on two groups.
    Tensor large = ctx->empty({3 << 18});
    ops::fill(*ctx, large, 1);
    const std::int64_t counts[] = {1 << 18, 1 << 18, 1 << 18};
    Work first = comm.all_gather(*ctx, large.slice(comm.rank() * (1 << 18), {1 << 18}), large, counts, "first");
    Tensor small = tensor(*ctx, {1});
    Work second = comm.all_reduce(*ctx, small, Reduce::kSum, "second");
    second.wait();
    EXPECT_TRUE(first.done()) << "calls of one group run in order";
    first.wait();
    EXPECT_THAT(values(*ctx, small), ElementsAre(3));
  });
}

TEST(MpiCommunicator, NamesBothSidesOfMismatchedCallsInDebugMode) {
  const auto done = test::try_on_ranks(2, {{"R1_COMM_CHECK", "1"}}, [](World& world) {
    const auto ctx = make_cpu_context(1);
    Tensor x = tensor(*ctx, {1, 2});
    world.communicator().barrier("together");
    if (world.rank() == 0) {
      world.communicator().all_reduce(*ctx, x, Reduce::kSum, "losses").wait();
    } else {
      world.communicator().broadcast(*ctx, x, 0, "layers.3").wait();
    }
  });
  if (!done) return;
  EXPECT_EQ(done->exit_code, 5) << done->err;
  EXPECT_THAT(done->err, HasSubstr("rank 0 in #2 all_reduce 'losses' of 2 elements, rank 1 in #2 broadcast 'layers.3' of 2 elements"));
}

TEST(World, PrintsAnErrorThatAllRanksMeetOnceWithoutARank) {
  const auto done = test::try_on_ranks(3, {}, [](World&) { fail(ErrorKind::kData, "the file is broken"); });
  if (!done) return;
  EXPECT_EQ(done->exit_code, 3);
  EXPECT_THAT(done->err, HasSubstr("error: test: the file is broken"));
  EXPECT_EQ(done->err.find("broken"), done->err.rfind("broken")) << done->err;
}

TEST(World, NamesTheRankWhoseErrorEndsTheJob) {
  const auto done = test::try_on_ranks(3, {}, [](World& world) {
    if (world.rank() == 2) fail(ErrorKind::kDisk, "no space left");
    world.communicator().barrier("never complete");
  });
  if (!done) return;
  EXPECT_EQ(done->exit_code, 6);
  EXPECT_THAT(done->err, HasSubstr("error: test: rank 2 (host "));
  EXPECT_THAT(done->err, HasSubstr("): no space left"));
}

TEST(World, NamesARankThatDoesNotFollow) {
  const auto done = test::try_on_ranks(2, {}, [](World& world) {
    world.watch(0.5);
    if (world.rank() == 1) {
      const Phase phase("a reward that never ends");
      while (true) usleep(1000);
    }
    world.communicator().barrier("step 7");
  });
  if (!done) return;
  EXPECT_EQ(done->exit_code, 5);
  EXPECT_THAT(done->err, ::testing::ContainsRegex("rank 1 .* has done nothing for .* in phase 'a reward that never ends'"));
  EXPECT_THAT(done->err, HasSubstr("waits in collective #1 barrier 'step 7'"));
}

TEST(World, EndsTheJobWhenATransferBetweenDevicesHasFailed) {
  const auto done = test::try_on_ranks(2, {}, [](World& world) {
    const auto watch = watch_device_transfers([&world] { return std::string(world.rank() == 1 ? "unhandled system error" : ""); });
    const DeviceWait waiting;  // the host of either rank waits for a device that waits for the other one
    while (true) usleep(1000);
  });
  if (!done) return;
  EXPECT_EQ(done->exit_code, 5);
  EXPECT_THAT(done->err, ::testing::ContainsRegex("rank 1 \\(host .*unhandled system error"));
}

TEST(World, NamesTheTransferThatDevicesWaitFor) {
  const auto done = test::try_on_ranks(2, {}, [](World& world) {
    world.watch(0.5);
    const auto watch = watch_device_transfers([] { return std::string(); });
    note_collective(17, "all_gather", "layers.3");
    const DeviceWait waiting;
    while (true) usleep(1000);
  });
  if (!done) return;
  EXPECT_EQ(done->exit_code, 5);
  EXPECT_THAT(done->err, HasSubstr("waits in collective #17 all_gather 'layers.3', and so do all ranks"));
}

TEST(World, LetsALongPhaseTakeItsTime) {
  test::on_ranks(2, [](World& world) {
    world.watch(0.3);
    if (world.rank() == 0) {
      const Phase phase("writing a large file", Patience::kLong);
      usleep(1500000);
    }
    world.communicator().barrier("written");
  });
}

}  // namespace
}  // namespace r1::comm
