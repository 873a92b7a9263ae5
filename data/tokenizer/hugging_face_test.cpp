#include "data/tokenizer/hugging_face.hpp"

#include "data/tokenizer/test_tokenizers.hpp"
#include "data/vocabulary.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {

using nlohmann::json;

TEST_CASE("Hugging Face: an export opens again and gives the same ids") {
  const TestFolder folder;
  const std::string text = golden_bytes("nasty.txt");
  for (const char* name : {"byte_level.json", "plain.model"}) {
    CAPTURE(name);
    const bool bytes = std::string(name) == "byte_level.json";
    const TokenizerPtr tokenizer =
        make_tokenizer(bytes ? "tokenizer.json" : "tokenizer.model", golden_bytes(name));
    export_hugging_face(*tokenizer, folder / name);
    const json config = json::parse(files::read(folder / name / "tokenizer_config.json"));
    CHECK(config.at("tokenizer_class") == "PreTrainedTokenizerFast");
    CHECK(config.at("eos_token") == tokenizer->name(*tokenizer->eos()));
    CHECK(config.contains("pad_token") == tokenizer->pad().has_value());
    CHECK(json::parse(files::read(folder / name / "special_tokens_map.json")).at("eos_token") ==
          config.at("eos_token"));
    const TokenizerPtr again = load_tokenizer(folder / name);
    CHECK(again->file_name() == "tokenizer.json");
    CHECK(again->encode(text, Special::parse) == tokenizer->encode(text, Special::parse));
    CHECK(again->eos() == tokenizer->eos());
    CHECK(again->pad() == tokenizer->pad());
    CHECK(load_tokenizer(folder / name / "tokenizer.json")->file_bytes() == again->file_bytes());
  }
}

TEST_CASE(
    "Hugging Face: tokenizer_config.json says what begins and ends a text, and a checkpoint remembers") {
  const TestFolder folder;
  folder.write("tokenizer.json", golden_bytes("byte_level.json"));
  folder.write("tokenizer_config.json", R"({"bos_token": {"content": "<|endoftext|>"}, "pad_token": null})");
  const TokenizerPtr tokenizer = load_tokenizer(folder.path());
  CHECK(tokenizer->bos() == 0);
  CHECK_FALSE(tokenizer->eos());
  CHECK(make_tokenizer("tokenizer.json", tokenizer->file_bytes())->bos() == 0);
  folder.write("tokenizer_config.json", R"({"eos_token": "</end>"})");
  CHECK(error_of([&] { load_tokenizer(folder.path()); }).find("no added token") != std::string::npos);
  folder.write("tokenizer_config.json", "[1]");
  CHECK(error_of([&] { load_tokenizer(folder.path()); }).find("wanted a JSON object") != std::string::npos);
}

TEST_CASE("Hugging Face: a vocabulary of words has no such form") {
  const TestFolder folder;
  CHECK(error_of([&] {
          export_hugging_face(Vocabulary(), folder / "x");
        }).find("no form that Transformers reads") != std::string::npos);
}

}  // namespace rmoe::test
