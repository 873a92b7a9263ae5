// What ranks tell each other beside the collectives: a meeting at the start that names who is missing, short
// texts, and the news that one of them has died. Rank 0 holds it, on the address and port of the launch
// (store_server.hpp); every rank has a connection to it.
//
//   Store store(launch, {.build = build_information()});
//   check_same(store, {{"config", hash_of(config)}, {"data", fingerprint}});
//   ...
//   store.finish();   // a rank that goes without it is an accident, which ends all the others
#pragma once

#include "engine/comm/connection.hpp"
#include "engine/comm/launch.hpp"

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace rmoe {

class StoreServer;

struct StoreOptions {
  double deadline_s = 300;  // how long ranks wait for each other, at the start and at every meeting
  std::string build;        // must be the same for all
};

class Store {
 public:
  /// Returns when every rank is there. A rank that is missing, twice there or of another build is an Error on
  /// all of them.
  explicit Store(const Launch& launch, const StoreOptions& options = {});
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Meetings: every rank calls the same ones in the same order; `what` is for messages. When a rank has died,
  // or does not come in time, they throw.
  std::vector<std::string> all_gather(const std::string& what, const std::string& mine);
  std::string broadcast(const std::string& what, const std::string& of_rank_0);
  void barrier(const std::string& what) { all_gather(what, ""); }
  /// The last meeting: from here on nobody minds that a rank is gone.
  void finish();

  /// How far this rank is: named when it dies.
  void report(int64_t step, int64_t collectives);
  /// Ends the others, with this text. Returns when they were told.
  void abort(const std::string& why) { tell_all(Word::abort, why); }
  /// The same when this rank waits in vain: the text then names the ranks that are behind.
  void stalled(const std::string& why) { tell_all(Word::stalled, why); }
  /// What happened when a rank died, vanished or called abort(); "" if none did.
  std::string why_aborted();
  /// Called (in another thread) with that, when it happens.
  void on_abort(std::function<void(const std::string& why)> handler);

 private:
  void join(const Launch& launch, const StoreOptions& options);
  void listen();
  void aborted(const std::string& why);
  void tell_all(Word word, const std::string& why);

  int rank_, size_;
  std::string server_name_;
  std::unique_ptr<StoreServer> server_;  // of rank 0
  std::unique_ptr<Connection> connection_;
  std::thread listener_;

  std::mutex mutex_, send_mutex_;
  std::condition_variable changed_;
  std::vector<std::string> gathered_;  // the answer to the meeting under way
  std::string news_;                   // why_aborted()
  std::function<void(const std::string&)> handler_;
  bool finishing_ = false, telling_ = false;
};

/// Something that must be the same on all ranks.
struct Fact {
  std::string what, value;
};

/// An Error on every rank if they differ; it names the rank that differs, and in what.
void check_same(Store& store, const std::vector<Fact>& facts);

}  // namespace rmoe
