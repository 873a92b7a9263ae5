#include "data/tokenizer/spelling.hpp"
#include "data/tokenizer/tokenizer_json.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace rmoe {
namespace {

using nlohmann::ordered_json;

/// A model that keeps U+2581 apart has plain spaces in its file.
std::string spelling(const BpeModel& model, int32_t id) {
  if (!model.characters || model.kinds[id] != PieceKind::normal) return model.names[id];
  return model.keeps_u2581 ? model.pieces[id] : with_marks(model.pieces[id]);
}

ordered_json vocabulary_of(const BpeModel& model) {
  ordered_json vocabulary = ordered_json::object();
  auto& entries =
      vocabulary.get_ref<ordered_json::object_t&>();  // emplace would look for each name from the start
  for (size_t id = 0; id < model.pieces.size(); ++id) entries.push_back({spelling(model, int32_t(id)), id});
  return vocabulary;
}

/// "a b" where every reader understands that, ["a","b"] where tokens hold spaces.
ordered_json merges_of(const BpeModel& model) {
  std::vector<MergeRule> rules = model.merges;
  std::stable_sort(rules.begin(), rules.end(),
                   [](const MergeRule& a, const MergeRule& b) { return a.merge.rank < b.merge.rank; });
  ordered_json merges = ordered_json::array();
  for (const MergeRule& rule : rules) {
    const std::string left = spelling(model, rule.left), right = spelling(model, rule.right);
    if (model.characters) {
      merges.push_back({left, right});
    } else {
      merges.push_back(left + " " + right);
    }
  }
  return merges;
}

ordered_json added_tokens_of(const BpeModel& model) {
  ordered_json tokens = ordered_json::array();
  for (const AddedToken& t : model.added)
    tokens.push_back({{"id", t.id},
                      {"content", t.content},
                      {"single_word", false},
                      {"lstrip", t.lstrip},
                      {"rstrip", t.rstrip},
                      {"normalized", t.normalized},
                      {"special", t.special}});
  return tokens;
}

ordered_json byte_level(bool prefix_space, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", prefix_space},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

ordered_json replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

ordered_json normalizer_of(const BpeModel& model) {
  if (!model.characters || model.keeps_u2581) return nullptr;
  ordered_json steps = ordered_json::array();
  if (model.prefix == PrefixSpace::always) steps.push_back({{"type", "Prepend"}, {"prepend", "\u2581"}});
  steps.push_back(replace(" ", "\u2581"));
  return {{"type", "Sequence"}, {"normalizers", std::move(steps)}};
}

ordered_json decoder_of(const BpeModel& model) {
  if (!model.characters) return byte_level(true, true);
  ordered_json steps = ordered_json::array();
  if (!model.keeps_u2581) steps.push_back(replace("\u2581", " "));
  steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (model.prefix == PrefixSpace::always)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", std::move(steps)}};
}

}  // namespace

std::string write_tokenizer_json(const BpeModel& model) {
  RMOE_CHECK(model.unwritten.empty(), "tokenizer: character \"",
             model.unwritten.empty() ? "" : model.unwritten[0],
             "\" occurs in pieces but is none itself, which tokenizer.json cannot say");
  RMOE_CHECK(model.characters || model.split == SplitRule::gpt2 || model.split == SplitRule::none,
             "tokenizer: only GPT-2's way of cutting words can be written");
  const bool has_symbols = std::any_of(model.added.begin(), model.added.end(),
                                       [](const AddedToken& token) { return token.normalized; });
  RMOE_CHECK(
      model.prefix != PrefixSpace::always || !has_symbols,
      "tokenizer: a space before every text and user-defined symbols do not go together in tokenizer.json");
  const ordered_json before =
      model.characters ? ordered_json()
                       : byte_level(model.prefix == PrefixSpace::missing, model.split == SplitRule::gpt2);
  const ordered_json bpe = {{"type", "BPE"},
                            {"dropout", nullptr},
                            {"unk_token", nullptr},
                            {"continuing_subword_prefix", nullptr},
                            {"end_of_word_suffix", nullptr},
                            {"fuse_unk", false},
                            {"byte_fallback", model.characters},
                            {"ignore_merges", model.whole_words},
                            {"vocab", vocabulary_of(model)},
                            {"merges", merges_of(model)}};
  const ordered_json file = {{"version", "1.0"},
                             {"truncation", nullptr},
                             {"padding", nullptr},
                             {"added_tokens", added_tokens_of(model)},
                             {"normalizer", normalizer_of(model)},
                             {"pre_tokenizer", before},
                             {"post_processor", nullptr},
                             {"decoder", decoder_of(model)},
                             {"model", bpe}};
  return file.dump(1) + "\n";
}

std::string note_special_tokens(const std::string& bytes, const SpecialNames& names) {
  ordered_json file = ordered_json::parse(bytes);
  const auto note = [&](const char* role, const std::string& name) {
    if (name.empty()) return;
    for (ordered_json& token : file.at("added_tokens")) {
      if (token.at("content") != name) continue;
      token["roles"].push_back(role);
      return;
    }
    fail("tokenizer: ", role, "_token is \"", name, "\", which is no added token of tokenizer.json");
  };
  for (ordered_json& token : file.at("added_tokens")) token.erase("roles");
  note("bos", names.bos);
  note("eos", names.eos);
  note("pad", names.pad);
  return file.dump(1) + "\n";
}

}  // namespace rmoe
