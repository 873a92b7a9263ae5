#include "engine/comm/store.hpp"

#include "engine/comm/store_server.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace rmoe {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kExtraSeconds = 10;  // the server's verdict comes at its own deadline, which began later
constexpr auto kToldWithin = std::chrono::seconds(1);

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(int64_t(seconds * 1e3));
}

}  // namespace

Store::Store(const Launch& launch, const StoreOptions& options)
    : rank_(launch.rank), size_(launch.size), server_name_(concat(launch.address, ":", launch.port)) {
  if (size_ == 1) return;
  if (rank_ == 0) server_ = std::make_unique<StoreServer>(launch, options);
  join(launch, options);
  listener_ = std::thread([this] { listen(); });
}

Store::~Store() {
  if (connection_) connection_->shut();
  if (listener_.joinable()) listener_.join();
}

/// Says hello until there is a server that answers; it may start later than this rank.
void Store::join(const Launch& launch, const StoreOptions& options) {
  const auto deadline = Clock::now() + milliseconds(options.deadline_s);
  auto pause = std::chrono::milliseconds(20);
  for (std::string problem = "no answer";;) {
    // Rank 0 need not know the name under which others find it.
    auto connection = connect_to(server_ ? "" : launch.address, launch.port, problem);
    if (connection) {
      connection->set_patience(options.deadline_s + kExtraSeconds);
      connection->send(Word::hello, pack(hello_of(launch, options)));
      const auto answer = connection->receive();
      if (answer && answer->word == Word::abort) fail("store: ", answer->body);
      if (answer && answer->word == Word::welcome) {
        connection->set_patience(0);
        connection_ = std::make_unique<Connection>(std::move(*connection));
        return;
      }
      problem = "no answer";  // somebody else's port, or a server that is about to end
    }
    if (Clock::now() + pause > deadline)
      fail("store: rank ", rank_, " did not reach rank 0 at ", server_name_, " within ", options.deadline_s,
           " s: ", problem, "; is rank 0 running there, and MASTER_ADDR its host?");
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::milliseconds(2000));
  }
}

/// In a thread of its own: everything that the server says.
void Store::listen() {
  for (;;) {
    const auto message = connection_->receive();
    if (!message) return aborted(concat("rank 0 (", server_name_, ") died"));
    if (message->word == Word::abort) return aborted(message->body);
    const std::lock_guard lock(mutex_);
    gathered_ = unpack(message->body);
    changed_.notify_all();
    if (finishing_) return;
  }
}

void Store::aborted(const std::string& why) {
  const std::lock_guard lock(mutex_);
  news_ = why;
  changed_.notify_all();
  if (handler_ && !telling_) handler_(why);
}

std::vector<std::string> Store::all_gather(const std::string& what, const std::string& mine) {
  if (size_ == 1) return {mine};
  {
    const std::lock_guard lock(send_mutex_);
    connection_->send(Word::gather, pack({what, mine}));
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !gathered_.empty() || !news_.empty(); });
  if (gathered_.empty()) fail("store: ", what, ": ", news_);
  return std::exchange(gathered_, {});
}

std::string Store::broadcast(const std::string& what, const std::string& of_rank_0) {
  return all_gather(what, rank_ == 0 ? of_rank_0 : "").front();
}

void Store::finish() {
  if (size_ == 1) return;
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  barrier("the end");
  const std::lock_guard lock(send_mutex_);
  connection_->send(Word::bye);
}

void Store::report(int64_t step, int64_t collectives) {
  if (size_ == 1) return;
  const std::lock_guard lock(send_mutex_);
  connection_->send(Word::progress, pack({std::to_string(step), std::to_string(collectives)}));
}

void Store::tell_all(Word word, const std::string& why) {
  if (size_ == 1) return;
  {
    const std::lock_guard lock(mutex_);
    if (!news_.empty()) return;
    telling_ = true;
  }
  {
    const std::lock_guard lock(send_mutex_);
    connection_->send(word, why);
  }
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kToldWithin, [&] { return !news_.empty(); });
}

std::string Store::why_aborted() {
  const std::lock_guard lock(mutex_);
  return news_;
}

void Store::on_abort(std::function<void(const std::string&)> handler) {
  const std::lock_guard lock(mutex_);
  handler_ = std::move(handler);
  if (handler_ && !news_.empty()) handler_(news_);
}

void check_same(Store& store, const std::vector<Fact>& facts) {
  std::vector<std::string> values;
  for (const Fact& fact : facts) values.push_back(fact.value);
  const auto all = store.all_gather("start-up check", pack(values));
  std::vector<std::vector<std::string>> by_rank;
  for (const std::string& packed : all) by_rank.push_back(unpack(packed));
  for (size_t i = 0; i < facts.size(); ++i) {
    std::vector<std::string> column;
    for (const auto& of_rank : by_rank) column.push_back(of_rank.at(i));
    // What most ranks have is right: it may be rank 0 that differs.
    const auto votes = [&](const std::string& value) {
      return std::count(column.begin(), column.end(), value);
    };
    const std::string common = *std::max_element(
        column.begin(), column.end(), [&](const auto& a, const auto& b) { return votes(a) < votes(b); });
    for (size_t rank = 0; rank < column.size(); ++rank)
      RMOE_CHECK(column[rank] == common, "start: rank ", rank, " has another ", facts[i].what, ": ",
                 column[rank], ", most ranks have ", common);
  }
}

}  // namespace rmoe
