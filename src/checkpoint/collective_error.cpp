#include "checkpoint/collective_error.h"

#include <filesystem>
#include <new>

namespace r1::checkpoint {
namespace {

std::string from_bytes(const std::vector<std::byte>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

std::optional<RankError> attempt(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return RankError{error.kind(), error.what()};
  } catch (const std::bad_alloc&) {
    return RankError{ErrorKind::kMemory, "out of memory"};
  } catch (const std::filesystem::filesystem_error& error) {
    return RankError{ErrorKind::kDisk, error.what()};
  } catch (const std::exception& error) {
    return RankError{ErrorKind::kInternal, error.what()};
  }
  return std::nullopt;
}

void agree(comm::Communicator& communicator, const std::optional<RankError>& mine, std::string_view what) {
  // One byte for the kind, then the message; nothing when all is well.
  std::string text;
  if (mine) text = static_cast<char>(mine->kind) + mine->message;
  for (const std::vector<std::byte>& bytes : communicator.host_gather(std::as_bytes(std::span(text)), what)) {
    if (bytes.empty()) continue;
    const std::string found = from_bytes(bytes);
    throw Error(static_cast<ErrorKind>(found[0]), found.substr(1));
  }
}

std::string text_of_first_rank(comm::Communicator& communicator, const std::string& text, std::string_view what) {
  const std::string mine = communicator.rank() == 0 ? text : std::string();
  return from_bytes(communicator.host_gather(std::as_bytes(std::span(mine)), what).at(0));
}

}  // namespace r1::checkpoint
