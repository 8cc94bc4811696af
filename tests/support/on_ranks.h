// A test body on several ranks: the test starts its own binary under mpirun, filtered to itself.
#pragma once

#include <gtest/gtest.h>

#include <unistd.h>
#include <climits>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/error.h"
#include "comm/world.h"
#include "tests/support/run_program.h"

namespace r1::test {

/// What mpirun needs to start more ranks than cores, as root too.
inline std::map<std::string, std::string> mpi_environment(std::map<std::string, std::string> more = {}) {
  more.emplace("OMPI_ALLOW_RUN_AS_ROOT", "1");
  more.emplace("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
  more.emplace("OMPI_MCA_rmaps_base_oversubscribe", "1");
  return more;
}

/// Runs `program arguments` on that many ranks.
inline ProgramResult run_on_ranks(int num_ranks, const std::string& program, const std::vector<std::string>& arguments,
                                  const std::map<std::string, std::string>& environment = {}) {
  std::vector<std::string> all{"mpirun", "-n", std::to_string(num_ranks), program};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return run_program("/usr/bin/env", all, "", mpi_environment(environment));
}

/// Once per test. Nothing on the ranks themselves (their failed expectations fail the process); the outcome in the test that
/// started them. An error of the body ends the job as an executable's would.
inline std::optional<ProgramResult> try_on_ranks(int num_ranks, const std::map<std::string, std::string>& environment,
                                                 const std::function<void(comm::World&)>& body) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  if (std::getenv("R1_TEST_IS_RANK") != nullptr) {
    comm::World world("test", comm::topology_from_environment());
    world.watch(20);  // a rank that an assertion ended leaves the others waiting
    try {
      body(world);
      world.finish();
    } catch (const Error& error) {
      world.fail(exit_code(error.kind()), error.what());
    }
    return std::nullopt;
  }
  char self[PATH_MAX] = "";
  if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) throw std::runtime_error("/proc/self/exe cannot be read");
  std::map<std::string, std::string> all = environment;
  all.emplace("R1_TEST_IS_RANK", "1");
  all.emplace("GTEST_OUTPUT", "");  // the results are this process's to report
  return run_on_ranks(num_ranks, self, {std::string("--gtest_filter=") + test->test_suite_name() + "." + test->name(), "--gtest_brief=1"},
                      all);
}

inline void on_ranks(int num_ranks, const std::function<void(comm::World&)>& body) {
  if (const auto done = try_on_ranks(num_ranks, {}, body)) EXPECT_EQ(done->exit_code, 0) << done->out << done->err;
}

}  // namespace r1::test
