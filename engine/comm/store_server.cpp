#include "engine/comm/store_server.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

namespace rmoe {
namespace {

constexpr char kMagic[] = "rmoe store 1";
constexpr double kHelloSeconds = 2;  // for a hello that has begun to arrive
constexpr int kLookMs = 100;

std::string host() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

/// What a hello holds, in order.
enum HelloField { kMagicField, kRun, kRank, kSize, kWhere, kBuild, kHelloFields };

}  // namespace

std::vector<std::string> hello_of(const Launch& launch, const StoreOptions& options) {
  return {kMagic,
          launch.run_id,
          std::to_string(launch.rank),
          std::to_string(launch.size),
          concat(host(), ", process ", ::getpid()),
          options.build};
}

StoreServer::StoreServer(const Launch& launch, const StoreOptions& options)
    : size_(launch.size),
      run_id_(launch.run_id),
      options_(options),
      listener_(listen_on(launch.address, launch.port)),
      wake_(::eventfd(0, EFD_CLOEXEC)),
      members_(size_t(launch.size)),
      deadline_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<double>(options.deadline_s))),
      thread_([this] { run(); }) {}

StoreServer::~StoreServer() {
  stop_ = true;
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

void StoreServer::run() {
  while (!stop_) {
    try {
      look();
      check_deadline();
    } catch (const std::exception& error) {
      abort_all(error.what());
    }
  }
}

/// Waits until somebody says something, and hears all who do.
void StoreServer::look() {
  std::vector<pollfd> events{{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  std::vector<int> ranks;
  for (const Connection& stranger : strangers_) events.push_back({stranger.fd(), POLLIN, 0});
  for (int rank = 0; rank < size_; ++rank) {
    if (!members_[rank].connection) continue;
    ranks.push_back(rank);
    events.push_back({members_[rank].connection->fd(), POLLIN, 0});
  }
  ::poll(events.data(), events.size(), kLookMs);
  const size_t first_member = events.size() - ranks.size();
  for (size_t i = 0; i < ranks.size(); ++i)
    if (events[first_member + i].revents) hear(ranks[i]);
  for (size_t i = strangers_.size(); i-- > 0;) {
    if (!events[2 + i].revents) continue;
    Connection stranger = std::move(strangers_[i]);
    strangers_.erase(strangers_.begin() + std::ptrdiff_t(i));
    greet(std::move(stranger));
  }
  if (!events[1].revents) return;
  if (auto connection = accept_from(listener_)) strangers_.push_back(std::move(*connection));
}

std::string StoreServer::name(int rank) const {
  return concat("rank ", rank, " (", members_[rank].where, ")");
}

/// Why this hello is not welcome, "" if it is.
std::string StoreServer::objection(const std::vector<std::string>& hello) const {
  const std::string who = concat("rank ", hello[kRank], " (", hello[kWhere], ")");
  if (hello[kSize] != std::to_string(size_))
    return concat(who, " believes in ", hello[kSize], " ranks, rank 0 in ", size_);
  if (hello[kBuild] != options_.build)
    return concat(who, " is another build: ", hello[kBuild], ", rank 0 is ", options_.build);
  const Member& member = members_.at(std::stoul(hello[kRank]));
  if (!member.where.empty())
    return concat("two processes say that they are rank ", hello[kRank], ": ", member.where, "; and ",
                  hello[kWhere]);
  return "";
}

void StoreServer::greet(Connection connection) {
  connection.set_patience(kHelloSeconds);
  const auto message = connection.receive();
  if (!message || message->word != Word::hello) return;  // not one of ours
  const auto hello = unpack(message->body);
  if (hello.size() != kHelloFields || hello[kMagicField] != kMagic) return;
  if (hello[kRun] != run_id_) {
    connection.send(Word::abort, concat("this port belongs to run '", run_id_, "', not to '", hello[kRun],
                                        "'; choose another MASTER_PORT"));
    return;
  }
  if (!why_aborted_.empty()) {
    connection.send(Word::abort, why_aborted_);
    return;
  }
  if (const std::string text = objection(hello); !text.empty()) {
    connection.send(Word::abort, text);
    return abort_all(text);
  }
  Member& member = members_.at(std::stoul(hello[kRank]));
  connection.set_patience(options_.deadline_s);
  member.connection = std::make_unique<Connection>(std::move(connection));
  member.where = hello[kWhere];
  complete_ = everyone([](const Member& m) { return !m.where.empty(); });
  if (complete_)
    for (const Member& m : members_) m.connection->send(Word::welcome);
}

void StoreServer::hear(int rank) {
  Member& member = members_[rank];
  const auto message = member.connection->receive();
  if (!message) return lost(rank);
  switch (message->word) {
    case Word::progress: {
      const auto numbers = unpack(message->body);
      member.step = std::stoll(numbers.at(0));
      member.collectives = std::stoll(numbers.at(1));
      return;
    }
    case Word::gather:
      return gather(rank, message->body);
    case Word::stalled:
      return abort_all(concat(name(rank), ", step ", member.step, ": ", message->body, behind()));
    case Word::abort:
      return abort_all(concat(name(rank), ", step ", member.step, ": ", message->body));
    case Word::bye:
      member.left = true;
      return;
    default:
      return lost(rank);
  }
}

void StoreServer::gather(int rank, const std::string& body) {
  const auto texts = unpack(body);
  const std::string& what = texts.at(0);
  if (meeting_.empty()) {
    meeting_ = what;
    deadline_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                   std::chrono::duration<double>(options_.deadline_s));
  }
  if (what != meeting_)
    return abort_all(concat(name(rank), " came to '", what, "', the others are at '", meeting_, "'"));
  members_[rank].said = texts.at(1);
  if (everyone([](const Member& m) { return m.said.has_value(); })) end_meeting();
}

void StoreServer::end_meeting() {
  std::vector<std::string> texts;
  for (Member& member : members_) texts.push_back(*std::exchange(member.said, std::nullopt));
  meeting_.clear();
  for (const Member& member : members_)
    if (member.connection) member.connection->send(Word::gathered, pack(texts));
}

void StoreServer::lost(int rank) {
  Member& member = members_[rank];
  member.connection.reset();
  const std::string when = member.step ? concat("in step ", member.step) : "before its first step";
  if (!member.left) abort_all(concat(name(rank), " died ", when));
}

/// The first reason is the one to tell. Rank 0 hears it last: with it, this server may end.
void StoreServer::abort_all(const std::string& why) {
  if (!why_aborted_.empty()) return;
  why_aborted_ = why;
  for (int rank = size_ - 1; rank >= 0; --rank)
    if (members_[rank].connection) members_[rank].connection->send(Word::abort, why);
}

void StoreServer::check_deadline() {
  if (Clock::now() < deadline_ || !why_aborted_.empty()) return;
  if (!complete_)
    return abort_all(concat(missing([](const Member& m) { return !m.where.empty(); }), " of ", size_,
                            " did not come within ", options_.deadline_s, " s"));
  if (!meeting_.empty())
    abort_all(concat(missing([](const Member& m) { return m.said.has_value(); }), " did not come to '",
                     meeting_, "' within ", options_.deadline_s, " s"));
}

bool StoreServer::everyone(const std::function<bool(const Member&)>& holds) const {
  return std::all_of(members_.begin(), members_.end(), holds);
}

/// "rank 3, rank 5"
std::string StoreServer::missing(const std::function<bool(const Member&)>& holds) const {
  std::string text;
  for (int rank = 0; rank < size_; ++rank)
    if (!holds(members_[rank])) text += concat(text.empty() ? "" : ", ", "rank ", rank);
  return text;
}

/// The ranks that have done least, "" if all are equally far: who has done more may only wait for them, as
/// the rest of their groups.
std::string StoreServer::behind() const {
  const auto done = [](const Member& m) { return std::pair(m.step, m.collectives); };
  const auto [last, furthest] = std::minmax_element(
      members_.begin(), members_.end(), [&](const auto& a, const auto& b) { return done(a) < done(b); });
  std::string text;
  for (int rank = 0; rank < size_; ++rank)
    if (const Member& m = members_[rank]; done(m) == done(*last) && done(m) < done(*furthest))
      text += concat("; behind: ", name(rank), ", in step ", m.step, " after ", m.collectives,
                     " collectives, others after ", furthest->collectives);
  return text;
}

}  // namespace rmoe
