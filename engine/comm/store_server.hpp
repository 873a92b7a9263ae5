// Rank 0's side of the store: one thread that hears all ranks and passes on what they say.
#pragma once

#include "engine/comm/store.hpp"

#include <atomic>
#include <chrono>

namespace rmoe {

class StoreServer {
 public:
  StoreServer(const Launch& launch, const StoreOptions& options);
  ~StoreServer();

 private:
  using Clock = std::chrono::steady_clock;

  /// A rank that has said hello.
  struct Member {
    std::unique_ptr<Connection> connection;  // none: not come yet, or gone
    std::string where;                       // "host, process 123"
    int64_t step = 0, collectives = 0;
    bool left = false;                // with a bye
    std::optional<std::string> said;  // in the meeting under way
  };

  void run();
  void look();
  void greet(Connection connection);
  std::string objection(const std::vector<std::string>& hello) const;
  void hear(int rank);
  void gather(int rank, const std::string& body);
  void end_meeting();
  void lost(int rank);
  void abort_all(const std::string& why);
  void check_deadline();

  bool everyone(const std::function<bool(const Member&)>& holds) const;
  std::string missing(const std::function<bool(const Member&)>& holds) const;
  std::string behind() const;
  std::string name(int rank) const;

  const int size_;
  const std::string run_id_;
  const StoreOptions options_;
  Descriptor listener_, wake_;
  std::vector<Connection> strangers_;  // have not said anything yet
  std::vector<Member> members_;
  bool complete_ = false;  // all have been here
  std::string meeting_;    // the one under way, "" if none is
  Clock::time_point deadline_;
  std::string why_aborted_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// The hello of a rank, as texts.
std::vector<std::string> hello_of(const Launch& launch, const StoreOptions& options);

}  // namespace rmoe
