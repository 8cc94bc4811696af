// What the control channel carries, and where a rank finds its place.
#include <gmock/gmock.h>

#include <cstdlib>

#include "base/error.h"
#include "comm/control_message.h"
#include "comm/topology.h"

namespace r1::comm {
namespace {

TEST(ControlMessage, ComesOutAsItWentInWhateverTheStreamCuts) {
  ControlMessage message;
  message.kind = ControlMessage::Kind::kError;
  message.rank = 3;
  message.number = -7;
  message.text = std::string("line one\nline two\0three", 23);
  message.activity = {"step 12", 1.5, true, 381, "all_to_all 'layers.3'", true, 0.25};
  const std::string bytes = encode(message) + encode({ControlMessage::Kind::kGoodbye});
  std::string buffer;
  std::vector<ControlMessage> arrived;
  for (const char byte : bytes) {
    buffer += byte;
    if (auto whole = decode(buffer)) arrived.push_back(*whole);
  }
  ASSERT_EQ(arrived.size(), 2u);
  EXPECT_EQ(arrived[0].text, message.text);
  EXPECT_EQ(arrived[0].number, -7);
  EXPECT_EQ(arrived[0].activity.phase, "step 12");
  EXPECT_EQ(arrived[0].activity.collective_number, 381u);
  EXPECT_EQ(arrived[0].activity.collective, "all_to_all 'layers.3'");
  EXPECT_TRUE(arrived[0].activity.is_patient);
  EXPECT_EQ(arrived[1].kind, ControlMessage::Kind::kGoodbye);
  EXPECT_TRUE(buffer.empty());
}

TEST(ControlMessage, RefusesWhatIsNoMessage) {
  std::string http = "GET / HTTP/1.1\r\n\r\n";
  EXPECT_THROW(decode(http), Error);
  std::string damaged = encode({ControlMessage::Kind::kBeat});
  damaged.resize(damaged.size() - 4);
  damaged[4] = static_cast<char>(damaged.size() - 8);  // says that it is whole
  EXPECT_THROW(decode(damaged), Error);
  std::string huge = encode({ControlMessage::Kind::kBeat});
  huge[7] = 0x7F;
  EXPECT_THROW(decode(huge), Error);
}

class TopologyTest : public ::testing::Test {
 protected:
  void SetUp() override { TearDown(); }
  void TearDown() override {
    for (const char* name :
         {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_RANK",
          "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"})
      unsetenv(name);
  }
};

TEST_F(TopologyTest, ReadsMpirunAndSrunAndNothingElse) {
  EXPECT_EQ(topology_from_environment().world_size, 1);
  setenv("SLURM_NTASKS", "8", 1);  // a shell inside an allocation is no step
  EXPECT_EQ(topology_from_environment().world_size, 1);
  setenv("SLURM_STEP_ID", "0", 1);
  setenv("PMIX_RANK", "5", 1);
  setenv("SLURM_STEP_NUM_TASKS", "6", 1);
  setenv("SLURM_LOCALID", "1", 1);
  setenv("SLURM_STEP_TASKS_PER_NODE", "2(x3)", 1);
  const Topology step = topology_from_environment();
  EXPECT_EQ(step.launcher, "srun");
  EXPECT_EQ(step.rank, 5);
  EXPECT_EQ(step.world_size, 6);
  EXPECT_EQ(step.local_rank, 1);
  EXPECT_EQ(step.local_size, 2);
  setenv("OMPI_COMM_WORLD_SIZE", "4", 1);  // mpirun inside a step
  setenv("OMPI_COMM_WORLD_RANK", "3", 1);
  EXPECT_EQ(topology_from_environment().launcher, "mpirun");
  EXPECT_EQ(topology_from_environment().rank, 3);
  setenv("OMPI_COMM_WORLD_RANK", "4", 1);
  EXPECT_THROW(topology_from_environment(), Error);
}

TEST(Topology, DealsTheProcessorsOfANodeToItsRanks) {
  Topology topology;
  const int alone = default_num_threads(topology);
  topology.world_size = topology.local_size = 1000;
  EXPECT_LE(default_num_threads(topology), alone);
  EXPECT_GE(default_num_threads(topology), 1);
}

}  // namespace
}  // namespace r1::comm
