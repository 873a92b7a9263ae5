#include "engine/comm/launch.hpp"

#include "engine/error.hpp"

#include <doctest/doctest.h>

namespace rmoe {
namespace {

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

Environment without(Environment environment, const std::string& name) {
  environment.erase(name);
  return environment;
}

const Environment kTorchrun{
    {"RANK", "11"},          {"WORLD_SIZE", "16"},    {"LOCAL_RANK", "3"},          {"LOCAL_WORLD_SIZE", "8"},
    {"MASTER_ADDR", "head"}, {"MASTER_PORT", "1234"}, {"TORCHELASTIC_RUN_ID", "r1"}};
const Environment kOpenMpi{{"OMPI_COMM_WORLD_RANK", "2"},
                           {"OMPI_COMM_WORLD_SIZE", "4"},
                           {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                           {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                           {"PMIX_RANK", "2"}};
const Environment kSlurm{{"SLURM_PROCID", "5"},
                         {"SLURM_NTASKS", "8"},
                         {"SLURM_LOCALID", "1"},
                         {"SLURM_NTASKS_PER_NODE", "4"},
                         {"SLURM_JOB_ID", "123456"},
                         {"SLURM_STEP_ID", "2"},
                         {"SLURM_JOB_NODELIST", "gpu[003-004]"}};

std::string refusal(const Environment& environment) {
  try {
    launch_from_environment(environment);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("launch: a plain program is alone") {
  const Launch launch = launch_from_environment({{"HOME", "/home/ann"}});
  CHECK(launch.launcher == Launcher::none);
  CHECK(launch.size == 1);
  CHECK(launch.text() == "alone, rank 0/1, local 0");
}

TEST_CASE("launch: RANK and WORLD_SIZE") {
  const Launch launch = launch_from_environment(kTorchrun);
  CHECK(launch.launcher == Launcher::variables);
  CHECK(launch.rank == 11);
  CHECK(launch.size == 16);
  CHECK(launch.local_rank == 3);
  CHECK(launch.local_size == 8);
  CHECK(launch.address == "head");
  CHECK(launch.port == 1234);
  CHECK(launch.run_id == "r1");
  const Environment own = with(kTorchrun, {{"RMOE_LAUNCHER", "nproc"}, {"RMOE_RUN_ID", "mine"}});
  CHECK(launch_from_environment(own).launcher == Launcher::nproc);
  CHECK(launch_from_environment(own).run_id == "mine");
  CHECK(launch_from_environment({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).size == 1);
}

TEST_CASE("launch: Open MPI without its library") {
  const Launch launch = launch_from_environment(kOpenMpi);
  CHECK(launch.launcher == Launcher::open_mpi);
  CHECK(launch.rank == 2);
  CHECK(launch.size == 4);
  CHECK(launch.local_rank == 2);
  CHECK(launch.address == "127.0.0.1");
  CHECK(launch.port == 29500);
  const Environment two_hosts = with(kOpenMpi, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "3"}});
  CHECK(has(refusal(two_hosts), "MASTER_ADDR is missing"));
  CHECK(launch_from_environment(with(two_hosts, {{"SLURM_JOB_NODELIST", "a,b"}})).address == "a");
}

TEST_CASE("launch: PMI, with the local rank from its process manager or from Slurm") {
  Environment pmi{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MASTER_ADDR", "h"}, {"MPI_LOCALRANKID", "1"}};
  CHECK(launch_from_environment(pmi).launcher == Launcher::pmi);
  CHECK(launch_from_environment(pmi).local_rank == 1);
  CHECK(launch_from_environment(pmi).local_size == 0);
  pmi.erase("MPI_LOCALRANKID");
  CHECK(has(refusal(pmi), "PMI_RANK=1 of PMI_SIZE=2, but MPI_LOCALRANKID is missing"));
  CHECK(launch_from_environment(with(pmi, {{"SLURM_LOCALID", "0"}})).local_rank == 0);
}

TEST_CASE("launch: Slurm, the address from its node list, the port from its job") {
  const Launch launch = launch_from_environment(kSlurm);
  CHECK(launch.launcher == Launcher::slurm);
  CHECK(launch.rank == 5);
  CHECK(launch.size == 8);
  CHECK(launch.local_rank == 1);
  CHECK(launch.local_size == 4);
  CHECK(launch.address == "gpu003");
  CHECK(launch.port == 10000 + 123456 % 50000);
  CHECK(launch.run_id == "123456.2");
  CHECK(launch.text() == "Slurm, rank 5/8, local 1");
  const Environment step = with(kSlurm, {{"SLURM_STEP_NUM_TASKS", "6"}, {"SLURM_STEP_NODELIST", "gpu004"}});
  CHECK(launch_from_environment(step).size == 6);
  CHECK(launch_from_environment(step).address == "gpu004");
}

TEST_CASE("launch: the script of a Slurm job is one process, whatever the job's size") {
  const Environment batch = with(without(kSlurm, "SLURM_STEP_ID"), {{"SLURM_PROCID", "0"}});
  CHECK(launch_from_environment(batch).launcher == Launcher::none);
  const Environment interactive = with(kSlurm, {{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}});
  CHECK(launch_from_environment(interactive).size == 1);
}

TEST_CASE("launch: RANK goes before Open MPI, Open MPI before Slurm") {
  const Environment same = with(kOpenMpi, {{"RANK", "2"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "0"}});
  CHECK(launch_from_environment(with(same, {{"MASTER_ADDR", "h"}})).launcher == Launcher::variables);
  CHECK(launch_from_environment(with(kSlurm, kOpenMpi)).launcher == Launcher::open_mpi);
}

TEST_CASE("launch: one torchrun per task is no contradiction") {
  const Environment nested =
      with(with(kSlurm, {{"SLURM_NTASKS", "2"}, {"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}}), kTorchrun);
  CHECK(launch_from_environment(nested).rank == 11);
}

TEST_CASE("launch: contradictions are refused") {
  CHECK(refusal({{"RANK", "0"}}) == "launch: RANK is set, but WORLD_SIZE is not; set both or neither");
  CHECK(refusal({{"WORLD_SIZE", "2"}}) == "launch: WORLD_SIZE is set, but RANK is not; set both or neither");
  CHECK(refusal({{"RANK", "2"}, {"WORLD_SIZE", "2"}}) == "launch: RANK=2, but WORLD_SIZE=2");
  CHECK(refusal({{"RANK", "-1"}, {"WORLD_SIZE", "2"}}) == "launch: RANK='-1' is not a number");
  CHECK(refusal({{"RANK", "1x"}, {"WORLD_SIZE", "2"}}) == "launch: RANK='1x' is not a number");
  CHECK(
      has(refusal(without(kTorchrun, "LOCAL_RANK")), "RANK=11 of WORLD_SIZE=16, but LOCAL_RANK is missing"));
  CHECK(refusal(with(kTorchrun, {{"LOCAL_RANK", "8"}})) == "launch: LOCAL_RANK=8, but there are 8 ranks");
  CHECK(has(refusal(without(kTorchrun, "MASTER_ADDR")), "16 ranks, 8 known to be on this machine"));
  CHECK(refusal(with(kTorchrun, {{"MASTER_PORT", "70000"}})) == "launch: MASTER_PORT=70000 is no port");
}

TEST_CASE("launch: several tasks that all believe to be rank 0 are refused") {
  const Environment left_over{{"RANK", "0"}, {"WORLD_SIZE", "1"}};
  CHECK(has(refusal(with(kOpenMpi, left_over)),
            "RANK=0 of WORLD_SIZE=1, but Open MPI says rank 2 of 4; unset RANK"));
  CHECK(has(refusal(with(kSlurm, left_over)), "but Slurm says rank 5 of 8"));
  const Environment rank_0{{"RANK", "0"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "0"}};
  CHECK(has(refusal(with(kSlurm, rank_0)), "RANK=0 of WORLD_SIZE=8, but Slurm says rank 5 of 8"));
  CHECK(has(refusal({{"PMIX_RANK", "0"}}), "PMIX_RANK=0, but no variable gives the number of ranks"));
  CHECK(has(refusal(without(kSlurm, "SLURM_STEP_ID")), "SLURM_PROCID=5, but SLURM_STEP_ID"));
}

TEST_CASE("launch: the device of a rank") {
  const Launch third{.launcher = Launcher::slurm, .rank = 3, .size = 4, .local_rank = 3};
  CHECK(device_of(third, 8) == 3);
  CHECK(device_of(third, 1) == 0);  // each task was given its own
  CHECK_THROWS_WITH_AS(device_of(third, 2),
                       "launch: local rank 3 wants device 3, this process sees 2; start fewer ranks per "
                       "machine, or see CUDA_VISIBLE_DEVICES",
                       Error);
  Launch own = third;
  own.launcher = Launcher::nproc;
  CHECK_THROWS_AS(device_of(own, 1), Error);
}

TEST_CASE("launch: the first host of a node list") {
  CHECK(first_host("alpha") == "alpha");
  CHECK(first_host("alpha,beta") == "alpha");
  CHECK(first_host("gpu[003-007,010],other") == "gpu003");
  CHECK(first_host("gpu[12]") == "gpu12");
  CHECK(first_host("rack[1,3]n[04-05]-ib") == "rack1n04-ib");
  CHECK_THROWS_AS(first_host("gpu[3"), Error);
}

}  // namespace rmoe
