#include "data/tokenizer/tokenizer_json.hpp"

#include "data/tokenizer/sentencepiece_model.hpp"
#include "data/tokenizer/test_tokenizers.hpp"
#include "tests/fuzz.hpp"
#include "tests/op_case.hpp"

#include <doctest/doctest.h>

namespace rmoe::test {
namespace {

using nlohmann::json;

/// Two letters and their pair, with one thing changed.
std::string changed(const char* pointer, const json& value) {
  json file = json::parse(R"({
    "added_tokens": [{"id": 3, "content": "</s>", "special": true}, {"id": 4, "content": "<x>", "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
  if (*pointer != '\0') file[json::json_pointer(pointer)] = value;
  return file.dump();
}

std::string refusal(const char* pointer, const json& value) {
  return error_of([&] { read_tokenizer_json(changed(pointer, value)); });
}

}  // namespace

TEST_CASE("tokenizer.json: both shapes of merges") {
  for (const char* text : {R"(["a b"])", R"([["a", "b"]])"}) {
    const json merges = json::parse(text);
    const TokenizerPtr tokenizer = make_tokenizer("tokenizer.json", changed("/model/merges", merges));
    CHECK(tokenizer->encode("ab") == Ids{2});
    CHECK(tokenizer->file_bytes() == changed("/model/merges", merges));
  }
}

TEST_CASE("tokenizer.json: a word in the vocabulary needs no merges under ignore_merges") {
  CHECK(make_tokenizer("tokenizer.json", changed("/model/merges", json::array()))->encode("ab") == Ids{0, 1});
  json model = json::parse(changed("", {})).at("model");
  model["merges"] = json::array();
  model["ignore_merges"] = true;
  CHECK(make_tokenizer("tokenizer.json", changed("/model", model))->encode("ab") == Ids{2});
}

TEST_CASE("tokenizer.json: what is not supported is named") {
  const json sequence = {{"type", "Sequence"},
                         {"pretokenizers", {{{"type", "Digits"}}, {{"type", "ByteLevel"}}}}};
  CHECK(refusal("/normalizer", {{"type", "NFC"}}) ==
        "tokenizer.json: the normalizer {\"type\":\"NFC\"} is not supported");
  CHECK(refusal("/pre_tokenizer", nullptr) == "tokenizer.json: the pre_tokenizer null is not supported");
  CHECK(refusal("/pre_tokenizer", sequence)
            .starts_with("tokenizer.json: the pre_tokenizer {\"pretokenizers\""));
  CHECK(refusal("/decoder", {{"type", "WordPiece"}}) ==
        "tokenizer.json: the decoder {\"type\":\"WordPiece\"} is not supported");
  CHECK(refusal("/model/type", "Unigram") == "tokenizer.json: the model \"Unigram\" is not supported");
  CHECK(refusal("/model/dropout", 0.1) == "tokenizer.json: dropout 0.1 is not supported");
  CHECK(refusal("/added_tokens/0/single_word", true).find("single_word") != std::string::npos);
}

TEST_CASE("tokenizer.json: what is wrong is named") {
  CHECK(refusal("/model/merges", json{"a x"}) ==
        "tokenizer.json: a merge names \"x\", which is not in the vocabulary");
  CHECK(refusal("/model/merges", json{"b a"}) ==
        "tokenizer.json: a merge names \"ba\", which is not in the vocabulary");
  CHECK(refusal("/model/merges", json{"ab"}) == "tokenizer.json: the merge \"ab\" is not two tokens");
  CHECK(refusal("/model/vocab/ab", 1) == "tokenizer.json: tokens \"ab\" and \"b\" have the same id 1");
  CHECK(refusal("/model/vocab/ab", 70).find("the ids have gaps") != std::string::npos);
  CHECK(refusal("/model/vocab/ab", -2).find("the ids have gaps") != std::string::npos);
  CHECK(refusal("/added_tokens/0/id", 1) == "tokenizer.json: added token </s> has the id of b");
  CHECK(refusal("/model/byte_fallback", true).find("the pre_tokenizer") != std::string::npos);
  CHECK(error_of([] { read_tokenizer_json(std::string(1 << 20, '[')); }) ==
        "tokenizer.json: its values are nested too deeply");
  for (const char* bad : {"", "{", "[]", "7", "{\"model\": 1}", "\xFF"})
    CHECK(error_of([&] { read_tokenizer_json(bad); }).starts_with("tokenizer.json: "));
}

TEST_CASE("tokenizer.json: what begins and ends a text is noted, or goes by custom") {
  const BpeModel custom = read_tokenizer_json(changed("", {}));
  CHECK(custom.eos == 3);
  CHECK_FALSE(custom.bos);
  const std::string noted = note_special_tokens(changed("", {}), {.bos = "<x>", .eos = "<x>", .pad = "</s>"});
  const BpeModel model = read_tokenizer_json(noted);
  CHECK(model.bos == 4);
  CHECK(model.eos == 4);
  CHECK(model.pad == 3);
  const BpeModel again =
      read_tokenizer_json(note_special_tokens(noted, {.bos = {}, .eos = "<x>", .pad = {}}));
  CHECK_FALSE(again.bos);
  CHECK(again.eos == 4);
  CHECK(error_of([&] { note_special_tokens(noted, {.bos = {}, .eos = "<y>", .pad = {}}); }) ==
        "tokenizer: eos_token is \"<y>\", which is no added token of tokenizer.json");
}

TEST_CASE("tokenizer.json: a SentencePiece model written and read back gives the same ids") {
  const std::string text = golden_bytes("nasty.txt");
  const TokenizerPtr plain = load_tokenizer(tokenizer_golden("plain.model"));
  const TokenizerPtr copy = make_tokenizer("tokenizer.json", write_tokenizer_json(model_of(plain)));
  for (const Special special : {Special::as_text, Special::parse})
    CHECK(copy->encode(text, special) == plain->encode(text, special));
  CHECK(copy->bos() == plain->bos());
  const TokenizerPtr prefixed = load_tokenizer(tokenizer_golden("dummy_prefix.model"));
  CHECK(error_of([&] { write_tokenizer_json(model_of(prefixed)); }).find("user-defined") !=
        std::string::npos);
  BpeModel without = model_of(prefixed);
  std::erase_if(without.added, [](const AddedToken& token) { return token.normalized; });
  const BpeTokenizer wanted(without);
  CHECK(make_tokenizer("tokenizer.json", write_tokenizer_json(without))->encode(text) == wanted.encode(text));
}

TEST_CASE("tokenizer.json: damaged files are refused or understood, never more") {
  const std::string text = broken_text();
  const std::string plain = write_tokenizer_json(read_sentencepiece_model(golden_bytes("plain.model")));
  const FuzzCounts counts = fuzz({changed("", {}), golden_bytes("byte_level.json").substr(0, 3000), plain},
                                 600, [&](const std::string& bytes) {
                                   const TokenizerPtr tokenizer = make_tokenizer("tokenizer.json", bytes);
                                   tokenizer->decode(tokenizer->encode(text, Special::parse));
                                 });
  CHECK(counts.refused > 100);
}

}  // namespace rmoe::test
