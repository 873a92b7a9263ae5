#include "data/tokenizer/bpe_tokenizer.hpp"
#include "data/tokenizer/hugging_face.hpp"
#include "data/tokenizer/train_byte_bpe.hpp"
#include "data/tokenizer/train_sentencepiece.hpp"
#include "data/tokenizer/training_text.hpp"
#include "engine/error.hpp"
#include "engine/files.hpp"
#include "train/command_options.hpp"
#include "train/commands.hpp"
#include "train/progress.hpp"
#include "train/signals.hpp"

#include <charconv>
#include <fmt/core.h>
#include <iostream>
#include <map>

namespace rmoe {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string kind = "sentencepiece", documents = "file", tokenizer, file, out, to = "hf";
  int64_t vocabulary = 8192;
  double coverage = SentencePieceOptions{}.coverage;
  TrainingText text;
  bool ids = false, pieces = false, lines = false, special = false;
  MachineOptions machine;
};

/// Thrown out of a long job when the user wants it to end.
struct Stopped {};

const std::map<std::string, Documents> kDocuments{
    {"file", Documents::file}, {"blank-line", Documents::blank_line}, {"line", Documents::line}};

BpeModel learn(const Options& o, const std::vector<std::string>& texts, const Progress& progress) {
  return o.kind == "bytes" ? train_byte_bpe(texts, {.vocabulary = o.vocabulary}, progress)
                           : train_sentencepiece(texts, {o.vocabulary, o.coverage}, progress);
}

void save(const Tokenizer& tokenizer, const fs::path& folder) {
  if (tokenizer.file_name() == "tokenizer.json") return export_hugging_face(tokenizer, folder);
  files::make_folder(folder);
  files::replace(folder / tokenizer.file_name(), tokenizer.file_bytes());
}

std::string name_or_none(const Tokenizer& tokenizer, std::optional<int32_t> token) {
  return token ? fmt::format("{} ({})", tokenizer.name(*token), *token) : "none";
}

void describe(const Tokenizer& tokenizer) {
  fmt::print("{}: {} tokens\n", tokenizer.file_name(), tokenizer.size());
  fmt::print("begins a text: {}, ends it: {}, fills up: {}\n", name_or_none(tokenizer, tokenizer.bos()),
             name_or_none(tokenizer, tokenizer.eos()), name_or_none(tokenizer, tokenizer.pad()));
  int32_t longest = 0;
  for (int32_t token = 0; token < tokenizer.size(); ++token)
    if (tokenizer.piece(token).size() > tokenizer.piece(longest).size()) longest = token;
  fmt::print("longest: {} ({} bytes)\n", tokenizer.name(longest), tokenizer.piece(longest).size());
}

int run_train(const Options& o) {
  o.machine.apply("tokenizer");
  if (o.kind == "sentencepiece" && !can_train_sentencepiece())
    learn(o, {}, {});  // says what is missing before anything is read
  watch_stop_signals();
  ProgressLine line(1);
  const Progress progress{[&](const std::string& text) { line.say(text); },
                          [&](const std::string& what, int64_t done, int64_t all) {
                            if (stop_requested()) throw Stopped();
                            line.count(what, done, all);
                          }};
  try {
    TrainingText wanted = o.text;
    wanted.documents = kDocuments.at(o.documents);
    const std::vector<std::string> texts = read_training_text(wanted, progress);
    int64_t bytes = 0;
    for (const std::string& text : texts) bytes += int64_t(text.size());
    line.say(fmt::format("learning from {} bytes of text", bytes));
    const BpeTokenizer tokenizer(learn(o, texts, progress));
    save(tokenizer, o.out);
    if (tokenizer.size() < o.vocabulary)
      line.say(
          fmt::format("the text gives no more than {0} tokens, {1} were wanted: give it more text, or ask "
                      "for --vocab {0}",
                      tokenizer.size(), o.vocabulary));
    describe(tokenizer);
    fmt::print("data.tokens = \"{}\"\n", o.out);
    return 0;
  } catch (const Stopped&) {
    line.say("stopped: nothing was written");
    return kInterrupted;
  }
}

std::string read_input(const std::string& file) {
  if (file != "-") return files::read(file);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

/// The whole text, or its lines without their ends.
std::vector<std::string_view> texts_of(const std::string& text, bool lines) {
  if (!lines) return {text};
  std::vector<std::string_view> found;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    found.push_back(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
  return found;
}

int run_encode(const Options& o) {
  const TokenizerPtr tokenizer = load_tokenizer(o.tokenizer);
  const std::string text = read_input(o.file);
  for (const std::string_view part : texts_of(text, o.lines)) {
    std::string line;
    for (const int32_t id : tokenizer->encode(part, o.special ? Special::parse : Special::as_text)) {
      if (!line.empty()) line += ' ';
      line += o.pieces ? tokenizer->name(id) : std::to_string(id);
    }
    fmt::print("{}\n", line);
  }
  return 0;
}

std::vector<int32_t> read_ids(std::string_view text) {
  std::vector<int32_t> ids;
  constexpr std::string_view kSpace = " \t\r\n";
  for (size_t begin = 0; (begin = text.find_first_not_of(kSpace, begin)) != text.npos;) {
    const size_t end = std::min(text.find_first_of(kSpace, begin), text.size());
    int32_t id = 0;
    const auto [rest, problem] = std::from_chars(text.data() + begin, text.data() + end, id);
    RMOE_CHECK(problem == std::errc() && rest == text.data() + end, "tokenizer: \"",
               text.substr(begin, end - begin), "\" is not a token id");
    ids.push_back(id);
    begin = end;
  }
  return ids;
}

int run_decode(const Options& o) {
  const TokenizerPtr tokenizer = load_tokenizer(o.tokenizer);
  const std::string ids = read_input(o.file);
  for (const std::string_view part : texts_of(ids, o.lines)) {
    const std::string text = tokenizer->decode(read_ids(part)) + (o.lines ? "\n" : "");
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  return 0;
}

int run_import(const Options& o) {
  const TokenizerPtr tokenizer = load_tokenizer(o.tokenizer);
  save(*tokenizer, o.out);
  describe(*tokenizer);
  return 0;
}

int run_export(const Options& o) {
  export_hugging_face(*load_tokenizer(o.tokenizer), o.out);
  return 0;
}

int run_info(const Options& o) {
  describe(*load_tokenizer(o.tokenizer));
  return 0;
}

using OptionsPtr = std::shared_ptr<Options>;

CLI::App* add_command(CLI::App& group, const char* name, const char* about, const OptionsPtr& o, Action& run,
                      int (*action)(const Options&)) {
  CLI::App* command = group.add_subcommand(name, about);
  command->callback([o, &run, action] { run = [o, action] { return action(*o); }; });
  return command;
}

void add_training(CLI::App& group, const OptionsPtr& o, Action& run) {
  CLI::App* train = add_command(group, "train", "Learn a tokenizer from text", o, run, run_train);
  train->add_option("INPUT", o->text.inputs, "files and folders of text; JSON lines in .jsonl")->required();
  train
      ->add_option("--kind", o->kind, "sentencepiece (BPE, bytes for rare characters) or bytes (GPT-2's BPE)")
      ->check(CLI::IsMember({"sentencepiece", "bytes"}))
      ->capture_default_str();
  train->add_option("--vocab", o->vocabulary, "tokens in all")
      ->check(CLI::Range(300, 1 << 20))
      ->capture_default_str();
  train->add_option("--out", o->out, "folder to write")->required();
  train
      ->add_option("--coverage", o->coverage,
                   "sentencepiece: share of the text whose characters get pieces; the rarest become bytes")
      ->check(CLI::Range(0.5, 1.0))
      ->capture_default_str();
  train
      ->add_option("--input-bytes", o->text.bytes,
                   "of more text than this, learn from a sample of so many bytes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  train->add_option("--seed", o->text.seed, "of the sample")->capture_default_str();
  train->add_option("--field", o->text.field, "member of a JSON line that holds the text")
      ->capture_default_str();
  train->add_option("--documents", o->documents, "what a text file is read by: file, blank-line or line")
      ->check(CLI::IsMember(kDocuments))
      ->capture_default_str();
  o->machine.add_to(*train);
}

void add_coding(CLI::App& group, const OptionsPtr& o, Action& run) {
  CLI::App* encode = add_command(group, "encode", "Text to token ids", o, run, run_encode);
  CLI::App* decode = add_command(group, "decode", "Token ids to text", o, run, run_decode);
  for (CLI::App* command : {encode, decode}) {
    command->add_option("TOKENIZER", o->tokenizer, "its file, or a folder that holds it")->required();
    command->add_option("FILE", o->file, "- is standard input")->required();
    command->add_flag("--lines", o->lines, "every line by itself");
  }
  CLI::Option* ids = encode->add_flag("--ids", o->ids, "print ids (the default)");
  encode->add_flag("--pieces", o->pieces, "print tokens as their vocabulary spells them")->excludes(ids);
  encode->add_flag("--special", o->special, "special tokens written in the text become their ids");
}

}  // namespace

void add_tokenizer(CLI::App& app, Action& run) {
  const auto o = std::make_shared<Options>();
  CLI::App* group = app.add_subcommand("tokenizer", "Train, use, import and export tokenizers");
  group->require_subcommand(1);
  add_training(*group, o, run);
  add_coding(*group, o, run);

  CLI::App* import = add_command(
      *group, "import", "Check and copy a tokenizer of Hugging Face or SentencePiece", o, run, run_import);
  CLI::App* exported = add_command(*group, "export", "Write what Transformers loads", o, run, run_export);
  CLI::App* info = add_command(*group, "info", "What a tokenizer is", o, run, run_info);
  for (CLI::App* command : {import, exported, info})
    command->add_option("TOKENIZER", o->tokenizer, "its file, or a folder that holds it")->required();
  for (CLI::App* command : {import, exported})
    command->add_option("--out", o->out, "folder to write")->required();
  exported->add_option("--to", o->to, "hf")->check(CLI::IsMember({"hf"}))->capture_default_str();
}

}  // namespace rmoe
