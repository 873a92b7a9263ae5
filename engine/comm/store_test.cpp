#include "engine/comm/store.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <doctest/doctest.h>
#include <future>

namespace rmoe {
namespace {

using Clock = std::chrono::steady_clock;

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

/// The ranks of one run, as threads of this process.
struct Run {
  int size;
  std::string address = "127.0.0.1";
  int port = free_port();
  StoreOptions options{.deadline_s = 20, .build = "b1"};

  Launch launch(int rank) const {
    return {.launcher = Launcher::variables,
            .rank = rank,
            .size = size,
            .local_rank = rank,
            .local_size = size,
            .address = address,
            .port = port,
            .run_id = "run"};
  }

  /// What every rank says of `body`: "" or its error.
  std::vector<std::string> each(const std::function<void(Store&)>& body) const {
    return each_launch([&](int rank) {
      Store store(launch(rank), options);
      body(store);
    });
  }
  std::vector<std::string> each_launch(const std::function<void(int)>& body) const {
    std::vector<std::string> errors(static_cast<size_t>(size));
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size; ++rank)
      threads.emplace_back([&, rank] {
        try {
          body(rank);
        } catch (const Error& error) {
          errors[static_cast<size_t>(rank)] = error.what();
        }
      });
    for (std::thread& thread : threads) thread.join();
    return errors;
  }
};

/// What a rank hears when another one dies.
class News {
 public:
  explicit News(Store& store) : store_(store) {
    store.on_abort([this](const std::string& why) { text_.set_value(why); });
  }
  ~News() { store_.on_abort({}); }
  /// "" if nothing came within a second, the time that is promised.
  std::string within_a_second() {
    auto text = text_.get_future();
    return text.wait_for(std::chrono::seconds(1)) == std::future_status::ready ? text.get() : "";
  }

 private:
  Store& store_;
  std::promise<std::string> text_;
};

}  // namespace

TEST_CASE("store: ranks gather, are told what rank 0 says, and wait for each other") {
  for (const char* address : {"127.0.0.1", "localhost", "::1", "0.0.0.0"}) {
    CAPTURE(address);
    std::atomic<int> right = 0, arrived = 0;
    const auto errors = Run{.size = 4, .address = address}.each([&](Store& store) {
      right += store.all_gather("names", concat("r", store.rank())) ==
               std::vector<std::string>{"r0", "r1", "r2", "r3"};
      const std::string unique("\0with zeros\0", 12);
      right += store.broadcast("id", store.rank() == 0 ? unique : "unused") == unique;
      ++arrived;
      store.barrier("all");
      right += arrived == 4;
      store.finish();
    });
    for (const std::string& error : errors) CHECK(error == "");
    CHECK(right == 12);
  }
}

TEST_CASE("store: one rank alone needs no network") {
  Store store(Launch{});
  CHECK(store.all_gather("x", "mine") == std::vector<std::string>{"mine"});
  CHECK(store.broadcast("x", "mine") == "mine");
  check_same(store, {{"config", "1"}});
  store.report(1, 1);
  store.abort("nobody hears it");
  store.finish();
}

TEST_CASE("store: ranks may come long before rank 0") {
  const Run run{.size = 3};
  const auto errors = run.each_launch([&](int rank) {
    if (rank == 0) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    Store store(run.launch(rank), run.options);
    store.finish();
  });
  for (const std::string& error : errors) CHECK(error == "");
}

TEST_CASE("store: a missing rank is named at the deadline") {
  Run run{.size = 4};
  run.options.deadline_s = 0.5;
  const auto began = Clock::now();
  const auto errors = run.each_launch([&](int rank) {
    if (rank % 2 == 0) Store store(run.launch(rank), run.options);
  });
  CHECK(seconds_since(began) < 5);
  for (const int rank : {0, 2})
    CHECK(errors[static_cast<size_t>(rank)] == "store: rank 1, rank 3 of 4 did not come within 0.5 s");
}

TEST_CASE("store: rank 0 that never comes is named with its address") {
  Run run{.size = 2};
  run.options.deadline_s = 0.3;
  CHECK_THROWS_WITH_AS(Store(run.launch(1), run.options),
                       doctest::Contains("store: rank 1 did not reach rank 0 at 127.0.0.1:"), Error);
  CHECK_THROWS_WITH_AS(Store(run.launch(1), run.options), doctest::Contains("Connection refused"), Error);
}

TEST_CASE("store: a port in use is an error of rank 0") {
  const Run run{.size = 2};
  const Descriptor other = listen_on("127.0.0.1", run.port);
  CHECK_THROWS_WITH_AS(Store(run.launch(0), run.options), doctest::Contains("choose another MASTER_PORT"),
                       Error);
}

TEST_CASE("store: ranks that do not belong together are refused") {
  const Run run{.size = 3};
  const auto outcome = [&](const std::function<void(Launch&, StoreOptions&)>& change) {
    return run.each_launch([&](int rank) {
      Launch launch = run.launch(rank);
      StoreOptions options = run.options;
      if (rank == 2) change(launch, options);
      Store store(launch, options);
    });
  };
  // Rank 0 and the one that does not belong say why. The third may come when rank 0 has gone already.
  const auto check_refused = [](const std::vector<std::string>& errors, const std::string& why) {
    CAPTURE(errors);
    CHECK(std::ranges::count(errors, "") == 0);
    CHECK(std::ranges::count_if(errors, [&](const std::string& e) { return has(e, why); }) >= 2);
  };
  check_refused(outcome([](Launch& l, StoreOptions&) { l.rank = 1; }),
                "two processes say that they are rank 1: ");
  check_refused(outcome([](Launch& l, StoreOptions&) { l.size = 4; }), " believes in 4 ranks, rank 0 in 3");
  check_refused(outcome([](Launch&, StoreOptions& o) { o.build = "b2"; }),
                " is another build: b2, rank 0 is b1");
}

TEST_CASE("store: another run on the same port is refused and disturbs nobody") {
  const Run run{.size = 2};
  std::string stranger;
  const auto errors = run.each_launch([&](int rank) {
    if (rank == 1) {
      std::string problem;
      std::optional<Connection> nonsense;
      while (!nonsense) nonsense = connect_to("", run.port, problem);
      nonsense->send(Word::gather, "GET / HTTP/1.1");
      Launch other = run.launch(1);
      other.run_id = "other";
      try {
        Store store(other, run.options);
      } catch (const Error& error) {
        stranger = error.what();
      }
    }
    Store store(run.launch(rank), run.options);
    store.finish();
  });
  for (const std::string& error : errors) CHECK(error == "");
  CHECK(has(stranger, "this port belongs to run 'run', not to 'other'"));
}

TEST_CASE("store: the death of a rank is known to the others within a second, with its step") {
  for (const int dead : {1, 2, 0}) {
    CAPTURE(dead);
    const Run run{.size = 3};
    std::vector<std::string> heard(3);
    const auto errors = run.each([&](Store& store) {
      News news(store);
      store.report(17, 100);
      store.barrier("ready");
      if (store.rank() == dead) return;  // without finish()
      heard[static_cast<size_t>(store.rank())] = news.within_a_second();
      CHECK_THROWS_AS(store.barrier("after"), Error);
    });
    for (const std::string& error : errors) CHECK(error == "");
    for (int rank = 0; rank < 3; ++rank) {
      if (rank == dead) continue;
      const std::string& text = heard[static_cast<size_t>(rank)];
      CAPTURE(text);
      CHECK(has(text, concat("rank ", dead, " (")));
      CHECK(has(text, dead == 0 && rank != 0 ? ") died" : " died in step 17"));
    }
  }
}

TEST_CASE("store: a rank that gives up tells why, one that waits in vain who is behind") {
  const Run run{.size = 3};
  for (const bool waits : {false, true}) {
    std::vector<std::string> heard(3);
    run.each([&](Store& store) {
      News news(store);
      store.report(5, store.rank() == 2 ? 70 : 71);
      store.barrier("ready");
      const bool tells = store.rank() == 0;
      if (tells) waits ? store.stalled("step 5 does not end") : store.abort("the loss is nan");
      heard[static_cast<size_t>(store.rank())] = news.within_a_second();
    });
    CHECK(heard[0] == "");  // it knows
    for (const size_t rank : {1, 2}) {
      CAPTURE(heard[rank]);
      CHECK(has(heard[rank], "rank 0 ("));
      CHECK(has(heard[rank],
                waits ? "), step 5: step 5 does not end; behind: rank 2 (" : "), step 5: the loss is nan"));
      if (waits) CHECK(has(heard[rank], "), in step 5 after 70 collectives, others after 71"));
    }
  }
}

TEST_CASE("store: ranks at different meetings, or not there in time, are named") {
  Run run{.size = 3};
  for (const std::string& error :
       run.each([](Store& store) { store.barrier(store.rank() == 1 ? "data" : "config"); }))
    CHECK((has(error, " came to 'config', the others are at 'data'") ||
           has(error, " came to 'data', the others are at 'config'")));
  run.options.deadline_s = 0.5;
  run.port = free_port();
  const auto errors = run.each([](Store& store) {
    if (store.rank() == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1000));
    if (store.rank() != 2) store.barrier("data");
  });
  for (const size_t rank : {0, 1}) CHECK(has(errors[rank], "rank 2 did not come to 'data' within 0.5 s"));
}

TEST_CASE("store: a start-up check names the rank that differs, and in what") {
  for (const int other : {0, 3}) {
    const auto errors = Run{.size = 4}.each([&](Store& store) {
      check_same(store, {{"build", "b"}, {"config", store.rank() == other ? "beef" : "cafe"}});
      store.finish();
    });
    for (const std::string& error : errors)
      CHECK(error == concat("start: rank ", other, " has another config: beef, most ranks have cafe"));
  }
}

}  // namespace rmoe
