#include "train/generator_link.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <exception>

#include "base/error.h"

namespace r1::train {
namespace {

constexpr std::int64_t kOrderWords = 5;   // kind, is_evaluation, step, weights_version, number of draws
constexpr std::int64_t kHeaderWords = 5;  // bytes of items, idle share, preemptions, wants_stop, wants_save

Tensor to_tensor(std::span<const std::int64_t> words) {
  return Tensor::host_from<std::int64_t>(words, {static_cast<std::int64_t>(words.size())}, DType::kI64);
}

}  // namespace

/// One copy's way to all trainers: a group of its own, so that copies do not wait for each other.
struct GeneratorLink::Stream {
  std::unique_ptr<comm::Communicator> group;  // the trainers, then the leader
  std::deque<comm::Work> posts;               // leader
  Tensor header, items;                       // trainer: what arrives next
  comm::Work header_work, items_work;

  int leader() const { return group->world_size() - 1; }
};

GeneratorLink::GeneratorLink(comm::Communicator& tensors, comm::Communicator& host, int num_trainers, int tensor_parallel_size)
    : tensors_(tensors), host_(host), ctx_(make_cpu_context(1)), num_trainers_(num_trainers) {
  own_group_ = tensors.split(is_generator() ? 1 : 0, tensors.rank());
  for (int leader = num_trainers; leader < host.world_size(); leader += tensor_parallel_size) {
    const bool takes_part = host.rank() < num_trainers || host.rank() == leader;
    auto group = host.split(takes_part ? 0 : -1, host.rank());
    streams_.push_back(takes_part ? std::make_unique<Stream>() : nullptr);
    if (takes_part) streams_.back()->group = std::move(group);
  }
}

GeneratorLink::~GeneratorLink() {
  if (std::uncaught_exceptions() > 0) return;  // the other ranks may be gone
  try {
    finish_posts();
  } catch (const Error&) {
    // A lost rank: the job ends with the message of whoever noticed it.
  }
}

void GeneratorLink::send(const GeneratorOrder& order) {
  const std::int64_t words[kOrderWords] = {static_cast<std::int64_t>(order.kind), order.is_evaluation ? 1 : 0, order.step,
                                           order.weights_version, static_cast<std::int64_t>(order.draws.size())};
  Tensor header = to_tensor(words);
  host_.broadcast(*ctx_, header, 0, "order to the generators").wait();
  if (order.draws.empty()) return;
  std::vector<std::int64_t> numbers;
  for (const PromptDraw& draw : order.draws) numbers.insert(numbers.end(), {draw.prompt, draw.number});
  Tensor draws = to_tensor(numbers);
  host_.broadcast(*ctx_, draws, 0, "prompts for the generators").wait();
}

GeneratorOrder GeneratorLink::receive_order() {
  Tensor header = Tensor::host({kOrderWords}, DType::kI64);
  host_.broadcast(*ctx_, header, 0, "order to the generators").wait();
  const auto words = header.host_span<std::int64_t>();
  GeneratorOrder order{static_cast<GeneratorOrder::Kind>(words[0]), words[1] != 0, words[2], words[3], {}};
  if (words[4] == 0) return order;
  Tensor draws = Tensor::host({2 * words[4]}, DType::kI64);
  host_.broadcast(*ctx_, draws, 0, "prompts for the generators").wait();
  const auto numbers = draws.host_span<std::int64_t>();
  for (std::size_t i = 0; i < numbers.size(); i += 2) order.draws.push_back({numbers[i], numbers[i + 1]});
  return order;
}

std::int64_t GeneratorLink::largest_of_generators(std::int64_t mine, std::string_view what) {
  const std::vector<std::int64_t> all = host_.host_gather_value(mine, what);
  return *std::max_element(all.begin() + num_trainers_, all.end());
}

void GeneratorLink::post(const Message& message) {
  const auto own = std::ranges::find_if(streams_, [](const auto& stream) { return stream != nullptr; });
  R1_ASSERT(is_generator() && own != streams_.end(), "only the leader of a copy of the model has anything to tell");
  Stream& stream = **own;
  const std::int64_t words[kHeaderWords] = {static_cast<std::int64_t>(message.items.size()),
                                            std::bit_cast<std::int64_t>(message.stats.idle_slot_share), message.stats.preemptions,
                                            message.wants_stop ? 1 : 0, message.wants_save ? 1 : 0};
  Tensor header = to_tensor(words);
  stream.posts.push_back(stream.group->broadcast(*ctx_, header, stream.leader(), "completions"));
  if (!message.items.empty()) {
    Tensor items = Tensor::host({static_cast<std::int64_t>(message.items.size())}, DType::kI8);
    std::memcpy(items.host_span<std::int8_t>().data(), message.items.data(), message.items.size());
    stream.posts.push_back(stream.group->broadcast(*ctx_, items, stream.leader(), "completions"));
  }
  while (!stream.posts.empty() && stream.posts.front().done()) {
    stream.posts.front().wait();
    stream.posts.pop_front();
  }
}

void GeneratorLink::finish_posts() {
  if (!is_generator()) return;
  for (const auto& stream : streams_) {
    if (!stream) continue;
    for (comm::Work& post : stream->posts) post.wait();
    stream->posts.clear();
  }
}

std::optional<GeneratorLink::Message> GeneratorLink::poll(int stream_index) {
  Stream& stream = *streams_[static_cast<std::size_t>(stream_index)];
  if (!stream.items_work.pending()) {
    if (!stream.header_work.pending()) {
      stream.header = Tensor::host({kHeaderWords}, DType::kI64);
      stream.header_work = stream.group->broadcast(*ctx_, stream.header, stream.leader(), "completions");
    }
    if (!stream.header_work.done()) return std::nullopt;
    stream.header_work.wait();
    if (const std::int64_t num_bytes = stream.header.host_span<std::int64_t>()[0]; num_bytes > 0) {
      stream.items = Tensor::host({num_bytes}, DType::kI8);
      stream.items_work = stream.group->broadcast(*ctx_, stream.items, stream.leader(), "completions");
    }
  }
  if (!stream.items_work.done()) return std::nullopt;
  stream.items_work.wait();
  const auto words = stream.header.host_span<std::int64_t>();
  Message message;
  message.items.resize(static_cast<std::size_t>(words[0]));
  if (words[0] > 0) std::memcpy(message.items.data(), stream.items.host_span<std::int8_t>().data(), message.items.size());
  message.stats = {std::bit_cast<double>(words[1]), words[2]};
  message.wants_stop = words[3] != 0;
  message.wants_save = words[4] != 0;
  return message;
}

}  // namespace r1::train
