#include "engine/comm/launch.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <unistd.h>

namespace rmoe {
namespace {

constexpr int kDefaultPort = 29500;  // what other launchers use

std::string value_of(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

int64_t parse(const std::string& name, const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  RMOE_CHECK(error == std::errc() && end == text.data() + text.size() && value >= 0, "launch: ", name, "='",
             text, "' is not a number");
  return value;
}

std::optional<int64_t> number(const Environment& environment, const std::string& name) {
  const std::string text = value_of(environment, name);
  return text.empty() ? std::nullopt : std::optional(parse(name, text));
}

/// What a launcher calls its numbers.
struct Names {
  Launcher launcher;
  std::string rank, size, local_rank, local_size;
};

const Names kVariables{Launcher::variables, "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};
const Names kOpenMpi{Launcher::open_mpi, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                     "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"};
const Names kPmi{Launcher::pmi, "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"};
const Names kSlurm{Launcher::slurm, "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NTASKS_PER_NODE"};

/// "RANK=3 of WORLD_SIZE=16"
std::string claim(const Names& names, const Launch& l) {
  return concat(names.rank, "=", l.rank, " of ", names.size, "=", l.size);
}

void read_local(const Environment& environment, const Names& names, Launch& launch) {
  auto local_rank = number(environment, names.local_rank);
  // Slurm's own PMI gives no local rank, but Slurm does.
  if (!local_rank && names.launcher == Launcher::pmi) local_rank = number(environment, kSlurm.local_rank);
  RMOE_CHECK(local_rank, "launch: ", claim(names, launch), ", but ", names.local_rank,
             " is missing; set it to this process's number on its machine");
  launch.local_rank = int(*local_rank);
  // Slurm's number is the job's; a step may be smaller.
  launch.local_size = int(std::min<int64_t>(number(environment, names.local_size).value_or(0), launch.size));
  RMOE_CHECK(launch.local_rank < launch.size && (!launch.local_size || launch.local_rank < launch.local_size),
             "launch: ", names.local_rank, "=", launch.local_rank, ", but there are ",
             launch.local_size ? launch.local_size : launch.size, " ranks");
}

std::optional<Launch> read(const Environment& environment, const Names& names) {
  const auto rank = number(environment, names.rank), size = number(environment, names.size);
  if (!rank && !size) return std::nullopt;
  RMOE_CHECK(rank && size, "launch: ", rank ? names.rank : names.size, " is set, but ",
             rank ? names.size : names.rank, " is not; set both or neither");
  RMOE_CHECK(*rank < *size, "launch: ", names.rank, "=", *rank, ", but ", names.size, "=", *size);
  Launch launch{.launcher = names.launcher, .rank = int(*rank), .size = int(*size)};
  if (launch.size > 1) read_local(environment, names, launch);
  return launch;
}

/// Of a job's step only: in the script around it the numbers describe the job, and there is one process.
std::optional<Launch> read_slurm(const Environment& environment) {
  if (value_of(environment, "SLURM_STEP_ID").empty()) return std::nullopt;
  Names names = kSlurm;
  if (!value_of(environment, "SLURM_STEP_NUM_TASKS").empty()) names.size = "SLURM_STEP_NUM_TASKS";
  return read(environment, names);
}

/// The launcher that started the tasks, whatever RANK says.
std::optional<Launch> read_tasks(const Environment& environment) {
  if (auto launch = read(environment, kOpenMpi)) return launch;
  if (auto launch = read(environment, kPmi)) return launch;
  return read_slurm(environment);
}

/// RANK and WORLD_SIZE inside several tasks: the same ranks under other names, or a launcher per task, as
/// torchrun under srun. Anything else was left in the environment by mistake.
void check_nesting(const Launch& ranks, const Launch& tasks) {
  if (tasks.size == 1) return;
  const bool same = ranks.size == tasks.size && ranks.rank == tasks.rank;
  const bool nested = ranks.local_size > 1 && ranks.size == tasks.size * ranks.local_size;
  RMOE_CHECK(same || nested, "launch: ", claim(kVariables, ranks), ", but ", name_of(tasks.launcher),
             " says rank ", tasks.rank, " of ", tasks.size, "; unset RANK and WORLD_SIZE, or set them for ",
             "every task");
}

/// A process that is one of several and cannot know of how many must not go on alone.
void check_alone(const Environment& environment, bool one_task) {
  const auto slurm = number(environment, kSlurm.rank);
  RMOE_CHECK(slurm.value_or(0) == 0, "launch: SLURM_PROCID=", slurm.value_or(0), ", but SLURM_STEP_ID or ",
             "SLURM_NTASKS does not tell of several tasks; start it with srun, or set RANK, WORLD_SIZE and ",
             "LOCAL_RANK");
  const auto pmix = number(environment, "PMIX_RANK");
  RMOE_CHECK(!pmix || one_task, "launch: PMIX_RANK=", pmix.value_or(0), ", but no variable gives the number ",
             "of ranks; set RANK, WORLD_SIZE and LOCAL_RANK");
}

std::string address_of(const Environment& environment, const Launch& launch) {
  if (const std::string address = value_of(environment, "MASTER_ADDR"); !address.empty()) return address;
  if (launch.launcher != Launcher::slurm && launch.local_size == launch.size) return "127.0.0.1";
  for (const char* list : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"})
    if (const std::string hosts = value_of(environment, list); !hosts.empty()) return first_host(hosts);
  fail("launch: ", launch.size, " ranks, ", launch.local_size,
       " known to be on this machine, but MASTER_ADDR", " is missing; set it to the host of rank 0");
}

int port_of(const Environment& environment) {
  if (const auto port = number(environment, "MASTER_PORT")) {
    RMOE_CHECK(*port > 0 && *port < 65536, "launch: MASTER_PORT=", *port, " is no port");
    return int(*port);
  }
  const auto job = number(environment, "SLURM_JOB_ID");
  return job ? 10000 + int(*job % 50000) : kDefaultPort;
}

std::string run_id_of(const Environment& environment, Launcher launcher) {
  if (const std::string own = value_of(environment, "RMOE_RUN_ID"); !own.empty()) return own;
  const std::string job = value_of(environment, "SLURM_JOB_ID");
  // Other launchers put their tasks into several steps of a job.
  if (launcher == Launcher::slurm) return job + "." + value_of(environment, "SLURM_STEP_ID");
  return job.empty() ? value_of(environment, "TORCHELASTIC_RUN_ID") : job;
}

}  // namespace

Environment process_environment() {
  Environment environment;
  for (char** entry = environ; *entry; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals != text.npos) environment[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return environment;
}

const char* name_of(Launcher launcher) {
  switch (launcher) {
    case Launcher::none:
      return "alone";
    case Launcher::nproc:
      return "--nproc";
    case Launcher::variables:
      return "RANK and WORLD_SIZE";
    case Launcher::open_mpi:
      return "Open MPI";
    case Launcher::pmi:
      return "PMI";
    case Launcher::slurm:
      return "Slurm";
  }
  return "?";
}

std::string Launch::text() const {
  return concat(name_of(launcher), ", rank ", rank, "/", size, ", local ", local_rank);
}

Launch launch_from_environment(const Environment& environment) {
  const auto ranks = read(environment, kVariables), tasks = read_tasks(environment);
  if (ranks && tasks) check_nesting(*ranks, *tasks);
  Launch launch = ranks.value_or(tasks.value_or(Launch{}));
  if (launch.size == 1) {
    check_alone(environment, ranks || tasks);
    return launch;
  }
  if (value_of(environment, "RMOE_LAUNCHER") == "nproc") launch.launcher = Launcher::nproc;
  launch.address = address_of(environment, launch);
  launch.port = port_of(environment);
  launch.run_id = run_id_of(environment, launch.launcher);
  return launch;
}

int device_of(const Launch& launch, int visible_devices) {
  if (launch.local_rank < visible_devices) return launch.local_rank;
  // What every rank sees as its only one are several devices, unless all ranks were started alike.
  if (visible_devices == 1 && launch.launcher != Launcher::nproc) return 0;
  fail("launch: local rank ", launch.local_rank, " wants device ", launch.local_rank, ", this process sees ",
       visible_devices, "; start fewer ranks per machine, or see ", "CUDA_VISIBLE_DEVICES");
}

std::string first_host(const std::string& node_list) {
  std::string host;
  for (size_t i = 0; i < node_list.size() && node_list[i] != ','; ++i) {
    if (node_list[i] != '[') {
      host += node_list[i];
      continue;
    }
    const size_t close = node_list.find(']', i);
    RMOE_CHECK(close != node_list.npos, "launch: the node list '", node_list, "' lacks a ]");
    host += node_list.substr(i + 1, node_list.find_first_of("-,]", i) - i - 1);
    i = close;
  }
  return host;
}

}  // namespace rmoe
