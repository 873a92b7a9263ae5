#include "data/tokenizer/tokenizer_json.hpp"

#include "data/tokenizer/spelling.hpp"
#include "engine/error.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

namespace rmoe {
namespace {

using nlohmann::json;

/// Roles that added tokens have by custom, for files that do not note them.
constexpr std::array kCustomaryBos{"<s>", "<|begin_of_text|>", "<bos>"};
constexpr std::array kCustomaryEos{"<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>"};
constexpr std::array kCustomaryPad{"<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>"};

[[noreturn]] void refuse(const char* what, const json& got) {
  fail(what, " ", got.dump().substr(0, 160), " is not supported");
}

json member(const json& object, const char* key) {
  if (object.is_null()) return nullptr;
  RMOE_CHECK(object.is_object(), "there is ", object.dump().substr(0, 40), " where an object should be");
  return object.value(key, json());
}

std::string type_of(const json& object) {
  const json type = member(object, "type");
  return type.is_string() ? type.get<std::string>() : "";
}

/// The steps of a Sequence, or the one step there is.
std::vector<json> steps_of(const json& object, const char* key) {
  if (object.is_null()) return {};
  if (type_of(object) != "Sequence") return {object};
  return object.at(key).get<std::vector<json>>();
}

void read_vocabulary(const json& file, BpeModel& model) {
  const json& vocabulary = file.at("model").at("vocab");
  const json added = member(file, "added_tokens");
  RMOE_CHECK(vocabulary.is_object() && (added.is_null() || added.is_array()), "it has no vocabulary");
  const size_t most = vocabulary.size() + added.size();
  const auto place = [&](const json& number) {
    const int64_t id = number.get<int64_t>();
    RMOE_CHECK(id >= 0 && id < int64_t(most), "token ", id, " is one of at most ", most,
               ": the ids have gaps");
    if (size_t(id) >= model.names.size()) model.names.resize(id + 1);
    return size_t(id);
  };
  for (const auto& [name, number] : vocabulary.items()) {
    std::string& slot = model.names[place(number)];
    RMOE_CHECK(slot.empty(), "tokens \"", slot, "\" and \"", name, "\" have the same id ", number.dump());
    slot = name;
  }
  model.kinds.resize(model.names.size(), PieceKind::normal);
  for (const json& token : added) {
    const bool special = token.value("special", false);
    const AddedToken read{.id = int32_t(place(token.at("id"))),
                          .content = token.at("content").get<std::string>(),
                          .special = special,
                          .normalized = token.value("normalized", !special),
                          .lstrip = token.value("lstrip", false),
                          .rstrip = token.value("rstrip", false)};
    if (token.value("single_word", false)) refuse("an added token with single_word", token);
    model.kinds.resize(model.names.size(), PieceKind::special);
    RMOE_CHECK(model.names[read.id].empty() || model.names[read.id] == read.content, "added token ",
               read.content, " has the id of ", model.names[read.id]);
    if (model.names[read.id].empty() || read.special) model.kinds[read.id] = PieceKind::special;
    model.names[read.id] = read.content;
    model.added.push_back(read);
  }
  for (size_t id = 0; id < model.names.size(); ++id)
    RMOE_CHECK(!model.names[id].empty(), "there is no token ", id, ": the ids have gaps");
}

void spell_pieces(bool marks_are_spaces, BpeModel& model) {
  for (size_t id = 0; id < model.names.size(); ++id) {
    const std::string& name = model.names[id];
    const std::optional<char> byte = model.characters ? byte_of_piece(name) : std::nullopt;
    if (byte) model.kinds[id] = PieceKind::byte;
    if (model.kinds[id] == PieceKind::special) {
      model.pieces.push_back(name);
    } else if (byte) {
      model.pieces.emplace_back(1, *byte);
    } else if (model.characters) {
      model.pieces.push_back(marks_are_spaces ? with_spaces(name) : name);
    } else {
      model.pieces.push_back(unspell_bytes(name));
    }
  }
}

void read_merges(const json& merges, BpeModel& model) {
  std::unordered_map<std::string_view, int32_t> ids;
  for (size_t id = 0; id < model.names.size(); ++id) ids.emplace(model.names[id], int32_t(id));
  const auto id_of = [&](const std::string& name) {
    const auto found = ids.find(name);
    RMOE_CHECK(found != ids.end(), "a merge names \"", name, "\", which is not in the vocabulary");
    return found->second;
  };
  for (const json& merge : merges) {
    std::string left, right;
    if (merge.is_string()) {
      const std::string both = merge.get<std::string>();
      const size_t space = both.find(' ');
      RMOE_CHECK(space != both.npos, "the merge \"", both, "\" is not two tokens");
      left = both.substr(0, space);
      right = both.substr(space + 1);
    } else {
      RMOE_CHECK(merge.is_array() && merge.size() == 2, "the merge ", merge.dump(), " is not two tokens");
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    }
    model.merges.push_back({id_of(left), id_of(right), {int32_t(model.merges.size()), id_of(left + right)}});
  }
}

void read_byte_level(const json& file, BpeModel& model) {
  if (!member(file, "normalizer").is_null()) refuse("the normalizer", file.at("normalizer"));
  std::vector<json> steps = steps_of(member(file, "pre_tokenizer"), "pretokenizers");
  if (steps.empty() || type_of(steps.back()) != "ByteLevel")
    refuse("the pre_tokenizer", member(file, "pre_tokenizer"));
  if (type_of(member(file, "decoder")) != "ByteLevel") refuse("the decoder", member(file, "decoder"));
  const json level = steps.back();
  model.split = level.value("use_regex", true) ? SplitRule::gpt2 : SplitRule::none;
  model.prefix = level.value("add_prefix_space", true) ? PrefixSpace::missing : PrefixSpace::none;
  steps.pop_back();
  if (steps.empty()) return;
  const json& split = steps[0];
  const auto regex = rule_of_regex(type_of(split) == "Split" ? split.at("pattern").value("Regex", "") : "");
  const bool plain = regex && split.value("behavior", "") == "Isolated" && !split.value("invert", false);
  if (steps.size() > 1 || !plain || model.split != SplitRule::none || model.prefix != PrefixSpace::none)
    refuse("the pre_tokenizer", file.at("pre_tokenizer"));
  model.split = *regex;
}

/// True if U+2581 stands for a space in the vocabulary.
bool read_character_level(const json& file, BpeModel& model) {
  if (!member(file, "pre_tokenizer").is_null()) refuse("the pre_tokenizer", file.at("pre_tokenizer"));
  bool marks_are_spaces = false;
  for (const json& step : steps_of(member(file, "normalizer"), "normalizers")) {
    const json pattern = member(step, "pattern"), content = member(step, "content");
    const bool prepends = type_of(step) == "Prepend" && step.at("prepend") == "\u2581";
    const bool marks = type_of(step) == "Replace" && pattern == json{{"String", " "}} && content == "\u2581";
    if (prepends) model.prefix = PrefixSpace::always;
    if (marks) marks_are_spaces = true;
    if (!prepends && !marks) refuse("the normalizer", file.at("normalizer"));
  }
  RMOE_CHECK(model.prefix == PrefixSpace::none || marks_are_spaces,
             "it puts U+2581 before a text but not for spaces");
  model.keeps_u2581 = !marks_are_spaces;
  return marks_are_spaces;
}

void check_model(const json& model) {
  if (model.value("type", "BPE") != "BPE") refuse("the model", model.at("type"));
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    const json value = member(model, key);
    if (!value.is_null() && value != "" && value != 0.0) refuse(key, value);
  }
}

void read_roles(const json& added, BpeModel& model) {
  bool noted = false;
  const auto read = [&](const json& token, const char* role, std::optional<int32_t>& id) {
    const json roles = token.value("roles", json::array());
    noted = noted || !roles.empty();
    if (std::find(roles.begin(), roles.end(), role) != roles.end()) id = token.at("id").get<int32_t>();
  };
  for (const json& token : added) {
    read(token, "bos", model.bos);
    read(token, "eos", model.eos);
    read(token, "pad", model.pad);
  }
  if (noted) return;
  const auto customary = [&](const auto& names) -> std::optional<int32_t> {
    for (const char* name : names)
      for (const AddedToken& token : model.added)
        if (token.special && token.content == name) return token.id;
    return {};
  };
  model.bos = customary(kCustomaryBos);
  model.eos = customary(kCustomaryEos);
  model.pad = customary(kCustomaryPad);
}

/// No tokenizer nests deeply, and what does would overflow the stack later on.
bool check_depth(int depth, json::parse_event_t, json&) {
  RMOE_CHECK(depth < 32, "its values are nested too deeply");
  return true;
}

BpeModel convert(const json& file) {
  BpeModel model;
  const json& bpe = file.at("model");
  check_model(bpe);
  model.characters = bpe.value("byte_fallback", false);
  model.whole_words = bpe.value("ignore_merges", false);
  read_vocabulary(file, model);
  if (model.characters) {
    spell_pieces(read_character_level(file, model), model);
    check_byte_pieces(model);
    model.split = split_of_characters(model);
  } else {
    read_byte_level(file, model);
    spell_pieces(false, model);
  }
  read_merges(bpe.at("merges"), model);
  read_roles(member(file, "added_tokens"), model);
  return model;
}

}  // namespace

BpeModel read_tokenizer_json(std::string bytes) {
  try {
    BpeModel model = convert(json::parse(bytes, check_depth));
    model.file_name = "tokenizer.json";
    model.file_bytes = std::move(bytes);
    return model;
  } catch (const json::exception& problem) {
    fail("tokenizer.json: it is not what Hugging Face's tokenizers write: ", problem.what());
  } catch (const Error& problem) {
    fail("tokenizer.json: ", problem.what());
  }
}

}  // namespace rmoe
