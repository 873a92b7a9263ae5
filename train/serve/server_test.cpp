// The endpoints, as clients see them.
#include "tests/serving.hpp"
#include "train/serve/utf8.hpp"

#include <doctest/doctest.h>
#include <set>

namespace rmoe::test {
namespace {

/// What must hold of the lists of any answer with log-probabilities.
void check_lists(const Json& choice, size_t entries, bool echo) {
  const Json& lists = choice["logprobs"];
  for (const char* name : {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
    REQUIRE(lists[name].size() == entries);
  for (size_t i = 0; i < entries; ++i) {
    if (i == 0 && echo) {
      CHECK(lists["token_logprobs"][0].is_null());
      CHECK(lists["top_logprobs"][0].is_null());
      continue;
    }
    const double log_prob = lists["token_logprobs"][i];
    double most = -1e9;
    bool named = false;
    for (const auto& [key, value] : lists["top_logprobs"][i].items()) {
      most = std::max(most, value.get<double>());
      named = named || value == log_prob;
    }
    CHECK(named);
    CHECK(log_prob <= most);
    CHECK(log_prob <= 0);
  }
}

/// The pieces of a streamed choice put together again.
Json joined(const std::vector<Json>& events, size_t index) {
  Json all{{"text", ""}, {"finish_reason", nullptr}, {"logprobs", nullptr}};
  for (const Json& event : events) {
    for (const Json& choice : event["choices"]) {
      if (choice["index"] != index) continue;
      CHECK(all["finish_reason"].is_null());  // nothing may follow it
      all["text"] = all["text"].get<std::string>() + choice["text"].get<std::string>();
      all["finish_reason"] = choice["finish_reason"];
      if (choice["logprobs"].is_null()) continue;
      for (const auto& [name, list] : choice["logprobs"].items())
        for (const Json& entry : list) all["logprobs"][name].push_back(entry);
    }
  }
  return all;
}

}  // namespace

TEST_CASE("serve: the small endpoints") {
  const TestServer server({.name = "tiny"});
  CHECK(Json::parse(server.get("/health")->body)["status"] == "ok");
  const Json models = Json::parse(server.get("/v1/models")->body);
  CHECK(models["data"][0]["id"] == "tiny");
  const Json info = Json::parse(server.get("/tokenizer_info")->body);
  CHECK(info["eos_token"] == "</s>");
  CHECK(info["bos_token"].is_null());
  const auto tokenized = server.post("/tokenize", R"({"prompt": "aé</s>", "add_special_tokens": false})");
  const Json tokens = Json::parse(tokenized->body)["tokens"];
  CHECK(tokens == Json{'a', 0xC3, 0xA9, TestTokenizer::kEnd});
  const auto text = server.post("/detokenize", Json{{"tokens", tokens}}.dump());
  CHECK(Json::parse(text->body)["prompt"] == "aé</s>");
  CHECK(server.get("/metrics")->body.find("rmoe_generated_tokens_total 0") != std::string::npos);
  CHECK(server.post("/tokenize", "{}")->status == 400);
  CHECK(server.post("/detokenize", R"({"tokens": [260]})")->status == 400);
}

TEST_CASE("serve: what the evaluation harness asks for") {
  const TestServer server;
  const std::vector<std::vector<int32_t>> prompts{{72, 101, 108}, {72}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 200}};
  const Json answer = server.complete({{"model", "m"},
                                       {"prompt", prompts},
                                       {"temperature", 0},
                                       {"max_tokens", 1},
                                       {"logprobs", 1},
                                       {"seed", 1234},
                                       {"echo", true}});
  REQUIRE(answer["choices"].size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    const Json& choice = answer["choices"][i];
    CHECK(choice["index"] == i);
    CHECK(choice["finish_reason"] == "length");
    check_lists(choice, prompts[i].size() + 1, true);
    const auto scores = score(tiny_model(), std::vector<std::vector<int32_t>>{prompts[i]})[0];
    for (size_t k = 1; k < prompts[i].size(); ++k) {
      const double log_prob = choice["logprobs"]["token_logprobs"][k];
      CHECK(log_prob == doctest::Approx(scores[k - 1].log_prob).epsilon(1e-5));
      double most = -1e9;
      for (const auto& [key, value] : choice["logprobs"]["top_logprobs"][k].items())
        most = std::max(most, double(value));
      CHECK((log_prob == most) == (scores[k - 1].best == prompts[i][k]));  // what the harness calls greedy
    }
    const Json last = choice["logprobs"]["top_logprobs"].back();
    CHECK(last.size() == 1);
    CHECK(last.begin().value() == choice["logprobs"]["token_logprobs"].back());
    const Json alone = server.complete(
        {{"prompt", prompts[i]}, {"temperature", 0}, {"max_tokens", 1}, {"logprobs", 1}, {"echo", true}});
    CHECK(alone["choices"][0]["logprobs"] == choice["logprobs"]);
  }
  CHECK(answer["usage"]["prompt_tokens"] == 14);
  CHECK(answer["usage"]["completion_tokens"] == 3);
  const Json only =
      server.complete({{"prompt", prompts[0]}, {"max_tokens", 0}, {"logprobs", 0}, {"echo", true}});
  check_lists(only["choices"][0], 3, true);
  CHECK(only["choices"][0]["text"] == "Hel");
}

TEST_CASE("serve: a prompt is the same as text, as tokens, alone or among others") {
  const TestServer server;
  const Json common{{"max_tokens", 12}, {"seed", 5}, {"temperature", 0.9}, {"top_k", 50}, {"logprobs", 3}};
  const auto ask = [&](const Json& prompt) {
    Json request = common;
    request["prompt"] = prompt;
    return server.complete(request)["choices"];
  };
  const Json text = ask("Hé");
  check_lists(text[0], 12, false);
  CHECK(text[0]["logprobs"]["text_offset"][0] == 2);
  CHECK(ask(Json{0x48, 0xC3, 0xA9}) == text);
  const Json both = ask(Json{"zz", "Hé"}), arrays = ask(Json{{0x7A, 0x7A}, {0x48, 0xC3, 0xA9}});
  REQUIRE(both.size() == 2);
  CHECK(both == arrays);
  CHECK(both[1]["text"] == text[0]["text"]);
  CHECK(both[1]["logprobs"] == text[0]["logprobs"]);
  Json other = common;
  other["prompt"] = "Hé";
  other["seed"] = 6;
  CHECK(server.complete(other)["choices"][0]["text"] != text[0]["text"]);
}

TEST_CASE("serve: a stream is the whole answer in pieces") {
  const TestServer server;
  for (const Json& extra :
       std::vector<Json>{{{"n", 2}},
                         {{"echo", true}},
                         {{"logprobs", 2}},
                         {{"logprobs", 2}, {"echo", true}, {"n", 2}},
                         {{"max_tokens", 0}, {"echo", true}},
                         {{"max_tokens", 1}, {"temperature", 0}, {"echo", true}, {"logprobs", 1}}}) {
    Json request{{"prompt", {"Hé", "\u20AC"}}, {"max_tokens", 40}, {"seed", 11}};
    request.update(extra);
    CAPTURE(request.dump());
    const Json whole = server.complete(request);
    request["stream_options"] = {{"include_usage", true}};
    const std::vector<Json> events = server.stream(request);
    CHECK(events.back()["usage"] == whole["usage"]);
    for (size_t i = 0; i < whole["choices"].size(); ++i) {
      const Json choice = joined(events, i);
      CHECK(choice["text"] == whole["choices"][i]["text"]);
      CHECK(choice["finish_reason"] == whole["choices"][i]["finish_reason"]);
      CHECK(choice["logprobs"] == whole["choices"][i]["logprobs"]);
    }
  }
}

TEST_CASE("serve: stop strings end an answer and are not in it") {
  const TestServer server;
  Json request{{"prompt", "Hello"}, {"max_tokens", 60}, {"seed", 3}, {"logprobs", 0}};
  const Json whole = server.complete(request)["choices"][0];
  const std::string text = whole["text"];
  const Json& tokens = whole["logprobs"]["tokens"];
  size_t tried = 0;
  for (size_t i = 5; i + 1 < tokens.size() && tried < 5; ++i) {  // two tokens that are text by themselves
    const std::string stop = tokens[i].get<std::string>() + tokens[i + 1].get<std::string>();
    if (stop.find("bytes:") != stop.npos || stop.find("</s>") != stop.npos) continue;
    CAPTURE(stop);
    ++tried;
    request["stop"] = {"never to be found", stop};
    const Json cut = server.complete(request);
    CHECK(cut["choices"][0]["text"] == text.substr(0, text.find(stop)));
    CHECK(cut["choices"][0]["finish_reason"] == "stop");
    CHECK(cut["usage"]["completion_tokens"] == cut["choices"][0]["logprobs"]["tokens"].size());
    CHECK(joined(server.stream(request), 0)["text"] == cut["choices"][0]["text"]);
  }
  CHECK(tried > 1);
}

TEST_CASE("serve: the end of a text is counted and listed, but is no text") {
  const TestServer server;
  for (int seed = 0; seed < 200; ++seed) {
    const Json answer =
        server.complete({{"prompt", "Hello"}, {"max_tokens", 60}, {"seed", seed}, {"logprobs", 0}});
    const Json& choice = answer["choices"][0];
    if (choice["finish_reason"] == "length") continue;
    const Json& tokens = choice["logprobs"]["tokens"];
    CHECK(tokens.back() == "</s>");
    CHECK(tokens.size() == answer["usage"]["completion_tokens"]);
    CHECK(choice["text"].get<std::string>().find("</s>") == std::string::npos);
    return;
  }
  FAIL("no answer of 200 has an end");
}

TEST_CASE("serve: mistakes get OpenAI's error object") {
  const TestServer server({.engine = {.prompt_tokens = 10, .concurrent = 4, .cache_tokens = 100}});
  for (const auto& [body, field] :
       std::vector<std::pair<std::string, Json>>{{"no json", nullptr},
                                                 {R"({"prompt": "a", "max_tokens": "many"})", "max_tokens"},
                                                 {R"({"prompt": "longer than ten tokens"})", "prompt"},
                                                 {R"({"prompt": "a", "n": 5})", "n"}}) {
    const auto result = server.post("/v1/completions", body);
    CHECK(result->status == 400);
    const Json error = Json::parse(result->body)["error"];
    CHECK(error["type"] == "invalid_request_error");
    CHECK(error["param"] == field);
  }
  const Json fine = server.complete({{"prompt", "a"}, {"max_tokens", 1}, {"nobody_knows", {1, 2}}});
  CHECK(fine["choices"].size() == 1);
}

TEST_CASE("serve: an answer that takes too long is given up, a full server says so, and both recover") {
  serve::ServeOptions options{.engine = {.max_tokens = 1000000, .cache_tokens = 10000000, .requests = 1}};
  options.http.answer_seconds = 0.2;
  const TestServer server(options);
  const Json endless{{"prompt", "a"}, {"max_tokens", 1000000}, {"temperature", 0}};
  CHECK(server.post("/v1/completions", endless.dump())->status == 504);
  CHECK(server.comes_to_rest());
  RawClient busy(server.port);
  Json streamed = endless;
  streamed["stream"] = true;
  busy.send(raw_post("/v1/completions", streamed.dump()));
  CHECK(busy.receive("data: ").find("200 OK") != std::string::npos);
  const auto refused = server.post("/v1/completions", endless.dump());
  CHECK(refused->status == 503);
  CHECK(refused->get_header_value("Retry-After") == "1");
  CHECK(busy.receive("--timeout").find("server_error") != std::string::npos);  // an event of its own
  CHECK(server.comes_to_rest());
}

}  // namespace rmoe::test
