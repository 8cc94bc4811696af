// An error of one rank becomes the same error on all of them.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "comm/communicator.h"

namespace r1::checkpoint {

struct RankError {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
};

/// Runs the work; an error is returned, not thrown.
std::optional<RankError> attempt(const std::function<void()>& work);

/// Collective: throws the error of the lowest rank that has one, on every rank.
void agree(comm::Communicator& communicator, const std::optional<RankError>& mine, std::string_view what);

/// Collective: the text of rank 0 on every rank.
std::string text_of_first_rank(comm::Communicator& communicator, const std::string& text, std::string_view what);

}  // namespace r1::checkpoint
