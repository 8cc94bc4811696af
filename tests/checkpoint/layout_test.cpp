// The state in one file or in one per node: any number of ranks with any sharding reads either.
#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "checkpoint/manifest.h"
#include "checkpoint/resume.h"
#include "checkpoint/state_reader.h"
#include "tests/checkpoint/small_training.h"
#include "tests/support/on_ranks.h"
#include "tests/support/paths.h"

namespace r1::test {
namespace {

using checkpoint::CheckpointLayout;
using parallel::Sharding;
namespace fs = std::filesystem;

checkpoint::TrainingState state_of(std::int64_t step) {
  checkpoint::TrainingState state;
  state.step = step;
  return state;
}

// Moments that differ from element to element, so that a shifted slice shows.
void fill_moments(const ExecContext& ctx, SmallTraining& training) {
  training.store->for_each_shard([&](parallel::Shard& shard) {
    int kind = 1;
    for (Tensor* tensor : {&shard.exp_avg, &shard.exp_avg_sq}) {
      Tensor host = Tensor::host({shard.end - shard.begin}, DType::kF32);
      const auto values = host.host_span<float>();
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(shard.begin + static_cast<std::int64_t>(i)) + 0.25F * static_cast<float>(kind);
      ++kind;
      ops::from_host(ctx, host, *tensor);
    }
  });
}

void save(const ExecContext& ctx, SmallTraining& training, const std::string& folder, CheckpointLayout layout, std::int64_t step,
          bool is_async) {
  checkpoint::Checkpointer checkpointer({folder, "test", std::nullopt, is_async, layout}, training.model->parameters(), *training.store,
                                        host_access(ctx));
  checkpointer.save(state_of(step), nullptr);
  checkpointer.wait();
}

TEST(CheckpointLayout, IsReadByAnyNumberOfRanksWithAnySharding) {
  on_ranks(4, [](comm::World& world) {
    const CommonFolder folder(world.communicator());
    // Two nodes whose ranks are not neighbours.
    setenv("SLURMD_NODENAME", world.rank() % 2 == 0 ? "even" : "odd", 1);
    const auto ctx = make_cpu_context(1);
    comm::Communicator& four = world.communicator();
    const auto self = comm::make_self_communicator();
    SmallTraining expected(*ctx, *self, Sharding::kReplicated);
    fill_moments(*ctx, expected);
    const auto two = four.split(world.rank() < 2 ? 0 : -1, world.rank());
    std::int64_t step = 0;
    for (const CheckpointLayout layout : {CheckpointLayout::kFile, CheckpointLayout::kPerNode}) {
      for (const Sharding sharding : {Sharding::kReplicated, Sharding::kZero2, Sharding::kZero3}) {
        ++step;
        SmallTraining training(*ctx, four, sharding);
        fill_moments(*ctx, training);
        save(*ctx, training, folder.path(), layout, step, /*is_async=*/sharding == Sharding::kZero2);
        four.barrier("saved");
        const std::string path = fmt::format("{}/checkpoint-{}", folder.path(), step);
        const bool is_per_node = layout == CheckpointLayout::kPerNode;
        EXPECT_EQ(fs::exists(path + "/state.h5"), !is_per_node);
        for (const char* name : {"/state-even.h5", "/state-odd.h5", "/index.json"}) EXPECT_EQ(fs::exists(path + name), is_per_node);
        // One rank, two of the four, and all of them, each with another seed's weights before.
        const auto loads = [&](comm::Communicator& communicator, Sharding into) {
          SmallTraining other(*ctx, communicator, into, /*seed=*/9);
          const auto found = checkpoint::open_checkpoint(path, communicator);
          checkpoint::load_state(found, other.model->parameters(), *other.store, host_access(*ctx));
          SmallTraining reference(*ctx, communicator, into);
          fill_moments(*ctx, reference);
          EXPECT_EQ(other.digest(*ctx), reference.digest(*ctx)) << path << " on " << communicator.world_size() << " ranks";
        };
        loads(*self, Sharding::kReplicated);
        if (two) loads(*two, Sharding::kZero3);
        loads(four, Sharding::kZero2);
        four.barrier("loaded");
      }
    }
  });
}

// Saved by two ranks on two nodes; then the first looks at the checkpoint.
void on_two_nodes(const std::function<void(const std::string& path, const checkpoint::Manifest&)>& look) {
  on_ranks(2, [&](comm::World& world) {
    const CommonFolder folder(world.communicator());
    setenv("SLURMD_NODENAME", world.rank() == 0 ? "a/1" : "b", 1);
    const auto ctx = make_cpu_context(1);
    SmallTraining training(*ctx, world.communicator(), Sharding::kZero3);
    save(*ctx, training, folder.path(), CheckpointLayout::kPerNode, 3, /*is_async=*/false);
    const std::string path = folder.path() + "/checkpoint-3";
    if (world.rank() == 0) look(path, checkpoint::read_manifest(path));
  });
}

TEST(PerNode, EveryFileIsCoveredByTheManifest) {
  on_two_nodes([](const std::string& path, const checkpoint::Manifest& manifest) {
    ASSERT_EQ(manifest.state_files.size(), 2);
    EXPECT_EQ(manifest.state_files[0].name, "state-a_1.h5");
    EXPECT_TRUE(checkpoint::find_damage(path, manifest).empty());
    for (const char* name : {"state-a_1.h5", "state-b.h5", "index.json"}) {
      const std::string file = path + "/" + name, before = read_file(file);
      std::string damaged = before;
      damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
      write_file_atomically(file, damaged);
      EXPECT_EQ(checkpoint::find_damage(path, manifest).size(), 1) << name;
      write_file_atomically(file, before);
    }
    fs::remove(path + "/state-b.h5");
    EXPECT_THAT(checkpoint::find_damage(path, manifest), ::testing::ElementsAre(::testing::HasSubstr("state-b.h5: No such file")));
  });
}

TEST(PerNode, AnIndexThatLeavesElementsOutIsRefused) {
  on_two_nodes([](const std::string& path, const checkpoint::Manifest& manifest) {
    Json index = read_json_file(path + "/index.json");
    index["datasets"][0]["pieces"].erase(0);
    write_file_atomically(path + "/index.json", index.dump());
    try {
      checkpoint::StateReader reader(path, manifest);
      ADD_FAILURE() << "expected an error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("index.json: value/"));
    }
  });
}

}  // namespace
}  // namespace r1::test
