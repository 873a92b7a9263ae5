#include "engine/comm/launch_ranks.hpp"

#include "engine/comm/test_ranks.hpp"

#include <chrono>
#include <csignal>
#include <doctest/doctest.h>
#include <unistd.h>

namespace rmoe {
namespace {

using test::Output;
using test::run_ranks;

Output shell(int count, const std::string& script) { return run_ranks(count, {"/bin/sh", "-c", script}); }

}  // namespace

TEST_CASE("launch_ranks: every rank gets its numbers, and its output a prefix") {
  const Output o =
      shell(3, "echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $MASTER_ADDR; echo no line >&2");
  CAPTURE(o.err);
  CHECK(o.code == 0);
  CHECK(o.out == "0/3 0/3 127.0.0.1\n");
  CHECK(o.has("[rank 1] 1/3 1/3 127.0.0.1\n"));
  CHECK(o.has("[rank 2] 2/3 2/3 127.0.0.1\n"));
  CHECK(o.has("[rank 2] no line\n"));
  CHECK(o.has("no line\n"));
}

TEST_CASE("launch_ranks: an unfinished line is passed on, too") {
  CHECK(shell(2, "test $RANK = 0 || printf half").has("[rank 1] half\n"));
}

TEST_CASE("launch_ranks: the first rank that fails is named, the others are ended") {
  const auto began = std::chrono::steady_clock::now();
  const Output failed =
      shell(3, "test $RANK = 1 && exit 7; test $RANK = 0 && exec sleep 60; sleep 1; exit 9");
  CAPTURE(failed.err);
  CHECK(failed.code == 7);
  CHECK(failed.has("rmoe: rank 1 ended with exit code 7; the others are ended\n"));
  CHECK(failed.has("rmoe: rank 0 did not end and is killed\n"));
  CHECK(!failed.has("rank 2 did not end"));
  const Output killed = shell(2, "test $RANK = 0 || kill -9 $$; exec sleep 1");
  CAPTURE(killed.err);
  CHECK(killed.code == 137);
  CHECK(killed.has("rmoe: rank 1 was killed by signal 9 (Killed); the others are ended\n"));
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(20));
}

TEST_CASE("launch_ranks: signals are passed on once, and a polite stop is no failure") {
  const std::string polite =
      "trap 'echo stopped; exit 130' INT TERM; echo ready; while :; do sleep 0.05; done";
  for (const int signal : {SIGINT, SIGTERM}) {
    const Output o = run_ranks(2, {"/bin/sh", "-c", polite}, signal);
    CAPTURE(o.err);
    CHECK(o.code == kInterruptedRanks);
    CHECK(o.out == "ready\nstopped\n");
    CHECK(o.has("[rank 1] stopped\n"));
  }
  const Output rude = run_ranks(2, {"/bin/sh", "-c", "echo ready; exec sleep 60"}, SIGINT);
  CHECK(rude.code == kInterruptedRanks);
}

TEST_CASE("launch_ranks: a program that cannot be started is an error") {
  const Output o = run_ranks(1, {"/no/such/program"});
  CHECK(o.code == 127);
  CHECK(o.has("cannot start /no/such/program"));
}

TEST_CASE("launch_ranks: not inside another launcher") {
  CHECK(shell(2, "true").code == 0);
  ::setenv("OMPI_COMM_WORLD_RANK", "1", 1);
  ::setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  ::setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1", 1);
  ::setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2", 1);
  const Output o = shell(2, "true");
  for (const char* name : {"RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"})
    ::unsetenv((std::string("OMPI_COMM_WORLD_") + name).c_str());
  CAPTURE(o.err);
  CHECK(o.code == 1);
  CHECK(o.has("--nproc: this process already is one of several: Open MPI, rank 1/2, local 1; leave out"));
}

}  // namespace rmoe
