#include "engine/rank_layout.h"

#include <algorithm>
#include <exception>

namespace r1::engine {

RankLayout::RankLayout(comm::Communicator& world, int tensor_size, int num_stages) : num_stages_(num_stages), tensor_size_(tensor_size) {
  const int group_size = tensor_size * num_stages, rank = world.rank();
  if (world.world_size() % group_size != 0) {
    fail(ErrorKind::kUsage, "tensor_parallel_size {} × pipeline_parallel_size {} = {} ranks: expected a divisor of the world size {}",
         tensor_size, num_stages, group_size, world.world_size());
  }
  num_groups_ = world.world_size() / group_size;
  if (group_size == 1) return;
  const int group = rank / group_size;
  stage_ = rank % group_size / tensor_size;
  tensor_rank_ = rank % tensor_size;
  draws_ = world.split(group, rank);
  leader_ = world.split(group, rank);
  if (tensor_size > 1) {
    tensor_ = world.split(group * num_stages + stage_, rank);
    tensor_parallel_ = std::make_unique<nn::TensorParallel>(*tensor_);
  }
  for (int hop = 0; hop + 1 < num_stages; ++hop) {
    const bool takes_part = stage_ == hop || stage_ == hop + 1;
    auto link = world.split(takes_part ? group * tensor_size + tensor_rank_ : -1, rank);
    if (stage_ == hop) to_next_ = std::move(link);
    else if (takes_part) from_previous_ = std::move(link);
  }
}

RankLayout::~RankLayout() {
  if (std::uncaught_exceptions() > 0) return;  // the other ranks may be gone
  try {
    leader_send_.wait();
  } catch (const Error&) {
    // A lost rank: the job ends with the message of whoever noticed it.
  }
}

std::int64_t RankLayout::agreed_minimum(std::int64_t value, std::string_view what) {
  if (is_alone()) return value;
  return std::ranges::min(draws_->host_gather_value(value, what));
}

comm::Work RankLayout::share_draws(const ExecContext& ctx, Tensor& drawn) {
  return draws_->broadcast(ctx, drawn, (num_stages_ - 1) * tensor_size_, "drawn tokens");
}

void RankLayout::share_from_leader(const ExecContext& ctx, std::vector<std::int64_t>& values) {
  if (is_alone()) return;
  const auto count = static_cast<std::int64_t>(values.size());
  Tensor message = Tensor::host_from<std::int64_t>(values, {count}, DType::kI64);
  leader_send_.wait();
  comm::Work work = leader_->broadcast(ctx, message, 0, "samples");
  if (is_leader()) {
    leader_send_ = std::move(work);
    return;
  }
  work.wait();
  std::ranges::copy(message.host_span<std::int64_t>(), values.begin());
}

comm::Work RankLayout::send_state(const ExecContext& ctx, const nn::Activations& state) {
  to_next_->group_begin();
  to_next_->send(ctx, state.hidden.value, 1, "hidden");
  to_next_->send(ctx, state.residual.value, 1, "residual");
  return to_next_->group_end();
}

nn::Activations RankLayout::receive_state(const ExecContext& ctx, std::int64_t num_tokens, std::int64_t hidden_size, DType dtype) {
  Tensor hidden = ctx.empty({num_tokens, hidden_size}, dtype), residual = ctx.empty({num_tokens, hidden_size}, dtype);
  from_previous_->group_begin();
  from_previous_->recv(ctx, hidden, 0, "hidden");
  from_previous_->recv(ctx, residual, 0, "residual");
  from_previous_->group_end().wait();
  return {{hidden, -1}, {residual, -1}};
}

}  // namespace r1::engine
