// Which of several processes this one is, read from the variables that launchers leave in the environment. No
// launcher's library is needed: a program that only asks its own library believes itself alone when that is
// missing, and N ranks silently become N runs.
#pragma once

#include <map>
#include <string>

namespace rmoe {

using Environment = std::map<std::string, std::string>;
Environment process_environment();

/// nproc is `rmoe train --nproc N`; variables is RANK, WORLD_SIZE, ..., as torchrun and many others set them.
enum class Launcher { none, nproc, variables, open_mpi, pmi, slurm };
const char* name_of(Launcher launcher);

struct Launch {
  Launcher launcher = Launcher::none;
  int rank = 0, size = 1;
  int local_rank = 0;  // among the ranks of this machine
  int local_size = 1;  // how many they are; 0 if the launcher does not say
  std::string address = "127.0.0.1";
  int port = 0;             // where rank 0 listens
  std::string run_id = {};  // equal for all ranks, another one for another run; may be empty

  /// "slurm, rank 3/16, local 3"
  std::string text() const;
};

/// RANK and WORLD_SIZE go before Open MPI's variables, these before PMI's, these before Slurm's. What
/// contradicts itself, or lets several processes believe that they are alone, is an Error.
Launch launch_from_environment(const Environment& environment);

/// The device that a rank uses of those it sees. A launcher may show every rank all of them, or each its own.
int device_of(const Launch& launch, int visible_devices);

/// The first host of Slurm's list: "gpu[003-007,010],fast1" gives "gpu003".
std::string first_host(const std::string& node_list);

}  // namespace rmoe
