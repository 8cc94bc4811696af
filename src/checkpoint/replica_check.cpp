#include "checkpoint/replica_check.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/strings.h"
#include "checkpoint/file_plan.h"
#include "checkpoint/state_layout.h"

namespace r1::checkpoint {
namespace {

struct Digests {
  std::vector<std::string> names;
  std::vector<std::uint64_t> values;
};

// Of everything that all ranks hold; the same names on every rank.
Digests digests_of_replicas(nn::ParameterSet& parameters, parallel::ParameterStore& store, const HostAccess& access) {
  Digests digests;
  const auto add = [&](const char* kind, const nn::Parameter& parameter, const Tensor& tensor) {
    const Tensor host = access.to_host(tensor);
    const auto bytes = std::as_bytes(std::span<const float>(host.host_span<float>()));
    digests.names.push_back(fmt::format("{}/{}", kind, parameter.name));
    digests.values.push_back(xxh3_64(bytes.data(), bytes.size()));
  };
  parameters.for_each([&](nn::Parameter& parameter) {
    if (parameter.value.defined()) add(kStateKinds[0], parameter, parameter.value);
  });
  int has_all_state = 1;
  store.for_each_shard([&](parallel::Shard& shard) {
    const bool is_whole = shard.begin == 0 && shard.end == shard.parameter->num_elements();
    if (!is_whole || !shard.exp_avg.defined()) has_all_state = 0;
  });
  // A rank may happen to own whole parameters of a sharded store: all must.
  for (const int of_rank : store.communicator().host_gather_value(has_all_state, "replicated state")) {
    if (of_rank == 0) return digests;
  }
  store.for_each_shard([&](parallel::Shard& shard) {
    add(kStateKinds[1], *shard.parameter, shard.exp_avg);
    add(kStateKinds[2], *shard.parameter, shard.exp_avg_sq);
  });
  return digests;
}

// Ranks whose digest is not the most frequent one; of equally frequent ones the lowest rank's counts.
std::vector<std::size_t> minority(const std::vector<std::vector<std::uint64_t>>& by_rank, std::size_t tensor) {
  std::map<std::uint64_t, std::size_t> count;
  for (const auto& digests : by_rank) ++count[digests[tensor]];
  std::uint64_t usual = by_rank[0][tensor];
  for (const auto& digests : by_rank) {
    if (count[digests[tensor]] > count[usual]) usual = digests[tensor];
  }
  std::vector<std::size_t> ranks;
  for (std::size_t rank = 0; rank < by_rank.size(); ++rank) {
    if (by_rank[rank][tensor] != usual) ranks.push_back(rank);
  }
  return ranks;
}

}  // namespace

bool check_replicas(nn::ParameterSet& parameters, parallel::ParameterStore& store, const HostAccess& access, std::int64_t step) {
  comm::Communicator& communicator = store.communicator();
  if (communicator.world_size() == 1) return false;
  bool is_replicated = true;
  parameters.for_each([&](nn::Parameter& parameter) { is_replicated = is_replicated && parameter.value.defined(); });
  if (!is_replicated) return false;  // ZeRO-3 between its passes, on all ranks alike
  store.materialize();               // ZeRO-2: the last update may still be on its way
  const Digests digests = digests_of_replicas(parameters, store, access);
  store.release_materialized();
  const auto by_rank = communicator.host_gather_values(std::span<const std::uint64_t>(digests.values), "checksums of replicas");
  std::size_t num_different = 0, first = 0;
  for (std::size_t i = digests.values.size(); i-- > 0;) {
    if (minority(by_rank, i).empty()) continue;
    ++num_different;
    first = i;
  }
  if (num_different == 0) return true;
  const std::string mine = node_name();
  std::vector<std::string> nodes;
  for (const auto& letters : communicator.host_gather_values(std::span<const char>(mine), "node names"))
    nodes.emplace_back(letters.begin(), letters.end());
  std::vector<std::string> suspects;
  for (const std::size_t rank : minority(by_rank, first)) suspects.push_back(fmt::format("rank {} (node {})", rank, nodes[rank]));
  fail(ErrorKind::kNumeric,
       "step {}: {} of {} tensors that every rank holds a copy of are not the same bytes on all ranks, the first is {}: {} of {} ranks "
       "disagree: {}{}. Memory or a processor there is suspect (silent corruption): leave the node out and start again with "
       "--resume_from_checkpoint latest; checkpoints are compared before they are saved",
       step, num_different, digests.names.size(), digests.names[first], suspects.size(), by_rank.size(), join(suspects, ", "),
       by_rank.size() == 2 ? fmt::format(" with rank 0 (node {}), either may be the wrong one", nodes[0]) : "");
}

}  // namespace r1::checkpoint
