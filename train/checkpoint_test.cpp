#include "train/checkpoint.hpp"

#include "tests/folder.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>
#include <set>

namespace rmoe::test {
namespace {

namespace fs = std::filesystem;

struct Crash {};  // not an Error: nothing may clean up after it

Snapshot snapshot_of(int64_t step) {
  const float x = float(step);
  return {step,
          {{"w", from_vector<float>({x, x + 0.5f}, {2})}, {"b", from_vector<float>({-x}, {1})}},
          {{"w.m", from_vector<float>({x / 3, 0}, {2})}},
          {{"layers.0", from_vector<float>({x * x}, {1})}},
          {{"vocabulary.json", std::string("{}\0\n", 4)}},
          {{"best_loss", x / 7}, {"rng", {{"seed", 18446744073709551615u}}}, {"config", "[model]\n"}}};
}

void check_equal(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  REQUIRE(a.size() == b.size());
  for (const NamedTensor& t : a) {
    const auto found = std::ranges::find(b, t.name, &NamedTensor::name);
    REQUIRE(found != b.end());
    CHECK(std::ranges::equal(t.tensor.span<float>(), found->tensor.span<float>()));
  }
}

void check_equal(const Snapshot& a, const Snapshot& b) {
  CHECK(a.step == b.step);
  check_equal(a.model, b.model);
  check_equal(a.optimizer, b.optimizer);
  check_equal(a.memory, b.memory);
  CHECK(a.files == b.files);
  CHECK(a.state == b.state);
}

Snapshot latest_of(const fs::path& run, std::vector<std::string>* messages = nullptr) {
  return load_latest(run, [&](const std::string& text) {
    if (messages) messages->push_back(text);
  });
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

void flip_byte(const fs::path& path, size_t at) {
  std::string bytes = files::read(path);
  bytes[at] ^= 1;
  files::replace(path, bytes);
}

/// Runs `save` and cuts it off before each of its operations on the disk in turn.
void with_crashes(const std::function<void(const fs::path&)>& prepare,
                  const std::function<void(const fs::path&)>& save,
                  const std::function<void(const fs::path&)>& check) {
  bool crashed = true;
  for (int stop = 0; crashed; ++stop) {
    const TestFolder run;
    prepare(run.path());
    files::set_observer([left = stop](const char*, const fs::path&) mutable {
      if (left-- == 0) throw Crash();
    });
    try {
      save(run.path());
      crashed = false;
    } catch (const Crash&) {
    }
    files::set_observer({});
    CAPTURE(stop);
    check(run.path());
  }
}

}  // namespace

TEST_CASE("checkpoint: what is saved comes back") {
  const TestFolder run;
  const fs::path path = save_checkpoint(run.path(), snapshot_of(3), {});
  CHECK(path == run / "checkpoints/step-3");
  CHECK(names_in(path) == std::set<std::string>{"model.safetensors", "optimizer.safetensors",
                                                "memory.safetensors", "vocabulary.json", "state.json"});
  check_equal(load_checkpoint(path), snapshot_of(3));
  check_equal(load_checkpoint(run / "latest"), snapshot_of(3));
  check_equal(latest_of(run.path()), snapshot_of(3));

  Snapshot plain = snapshot_of(4);
  plain.memory.clear();
  check_equal(load_checkpoint(save_checkpoint(run.path(), plain, {})), plain);
}

TEST_CASE("checkpoint: the newest and the best stay") {
  const TestFolder run;
  for (int64_t step : {9, 10, 11, 100, 101}) save_checkpoint(run.path(), snapshot_of(step), {step == 9, 2});
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step-9", "step-100", "step-101"});
  CHECK(fs::read_symlink(run / "best") == "checkpoints/step-9");
  CHECK(find_checkpoint(run.path()) == run / "best");
  save_checkpoint(run.path(), snapshot_of(102), {true, 1});
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step-102"});
  CHECK(names_in(run.path()) == std::set<std::string>{"checkpoints", "best", "latest"});
}

TEST_CASE("checkpoint: a later step left from before does not push the new one out") {
  const TestFolder run;
  for (int64_t step : {10, 20, 30}) save_checkpoint(run.path(), snapshot_of(step), {});
  save_checkpoint(run.path(), snapshot_of(15), {false, 1});
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step-15", "step-20", "step-30"});
  CHECK(latest_of(run.path()).step == 15);
}

TEST_CASE("checkpoint: a damaged one is named and the one before is used") {
  const auto damaged = [](const std::function<void(const fs::path&)>& damage) {
    const TestFolder run;
    save_checkpoint(run.path(), snapshot_of(1), {});
    const fs::path newest = save_checkpoint(run.path(), snapshot_of(2), {});
    damage(newest);
    std::vector<std::string> messages;
    check_equal(latest_of(run.path(), &messages), snapshot_of(1));
    REQUIRE(messages.size() == 1);
    CHECK(messages[0].find('\n') == std::string::npos);
    REQUIRE(messages[0].starts_with(newest.string() + "/"));
    return messages[0].substr(newest.string().size() + 1);
  };
  const std::string next = "; trying the checkpoint before it";
  const std::string state = "state.json is damaged: ";
  CHECK(damaged([](const fs::path& p) {
          flip_byte(p / "optimizer.safetensors", 100);
        }).starts_with("optimizer.safetensors is damaged: its checksum is "));
  CHECK(damaged([](const fs::path& p) {
          fs::resize_file(p / "model.safetensors", 50);
        }).starts_with("model.safetensors is damaged: its checksum is "));
  CHECK(damaged([](const fs::path& p) { fs::resize_file(p / "state.json", 20); }) ==
        state + "not the JSON of a checkpoint" + next);
  CHECK(damaged([](const fs::path& p) {
          flip_byte(p / "state.json", files::read(p / "state.json").find("step\": 2") + 7);
        }) == state + "its checksum is wrong" + next);
}

TEST_CASE("checkpoint: a missing file is named") {
  const TestFolder run;
  const fs::path path = save_checkpoint(run.path(), snapshot_of(1), {});
  files::remove(path / "memory.safetensors");
  CHECK(error_of([&] { load_checkpoint(path); }) ==
        "cannot read " + (path / "memory.safetensors").string() + ": No such file or directory");
  CHECK(error_of([&] { latest_of(run.path()); }) ==
        "cannot resume " + run.path().string() + ": it has no usable checkpoint");
  files::remove(path / "state.json");
  CHECK(error_of([&] { load_checkpoint(path); }) ==
        path.string() + " is not a checkpoint: it has no state.json");
  CHECK(error_of([&] { find_checkpoint(run.path()); }) ==
        run.path().string() + " is neither a run with a checkpoint nor a checkpoint");
}

TEST_CASE("checkpoint: every flipped bit of the tensors and the state is noticed") {
  const TestFolder run;
  const fs::path path = save_checkpoint(run.path(), snapshot_of(1), {});
  for (const char* name : {"model.safetensors", "memory.safetensors", "vocabulary.json", "state.json"}) {
    const std::string good = files::read(path / name);
    for (size_t at = 0; at < good.size(); ++at) {
      if (std::isspace(good[at]) && std::string_view(name) == "state.json") continue;  // means nothing
      flip_byte(path / name, at);
      CHECK_THROWS_AS(load_checkpoint(path), Error);
      flip_byte(path / name, at);
    }
  }
}

TEST_CASE("checkpoint: a save cut off at any operation leaves a usable checkpoint") {
  with_crashes(
      [](const fs::path& run) {
        save_checkpoint(run, snapshot_of(1), {true, 1});
      },
      [](const fs::path& run) {
        save_checkpoint(run, snapshot_of(2), {true, 1});
      },
      [](const fs::path& run) {
        const Snapshot found = latest_of(run);
        check_equal(found, snapshot_of(found.step));
        CHECK(load_checkpoint(find_checkpoint(run)).step >= found.step);
        save_checkpoint(run, snapshot_of(3), {true, 1});
        check_equal(latest_of(run), snapshot_of(3));
        CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step-3"});
        CHECK(names_in(run) == std::set<std::string>{"checkpoints", "best", "latest"});
      });
}

TEST_CASE("checkpoint: replacing the only one, cut off at any operation, leaves it or its successor") {
  const auto again = [] {
    Snapshot snapshot = snapshot_of(1);
    snapshot.state["again"] = true;
    return snapshot;
  };
  with_crashes([](const fs::path& run) { save_checkpoint(run, snapshot_of(1), {}); },
               [&](const fs::path& run) { save_checkpoint(run, again(), {}); },
               [&](const fs::path& run) {
                 const Snapshot found = latest_of(run);
                 check_equal(found, found.state.contains("again") ? again() : snapshot_of(1));
                 save_checkpoint(run, again(), {});
                 check_equal(latest_of(run), again());
                 CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step-1"});
               });
}

TEST_CASE("checkpoint: a save that fails gives its space back") {
  const TestFolder run;
  save_checkpoint(run.path(), snapshot_of(1), {});
  files::set_observer([](const char* operation, const fs::path& path) {
    if (std::string_view(operation) == "sync" && path.filename() == "optimizer.safetensors")
      fail("disk full");
  });
  CHECK(error_of([&] { save_checkpoint(run.path(), snapshot_of(2), {}); }) == "disk full");
  files::set_observer({});
  CHECK(names_in(run / "checkpoints") == std::set<std::string>{"step-1"});
}

}  // namespace rmoe::test
