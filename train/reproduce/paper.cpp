#include "train/reproduce/paper.hpp"

#include "engine/error.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rmoe::reproduce {
namespace {

const Setting kEnwik8{Benchmark::enwik8}, kWikiText{Benchmark::wikitext103}, kEither{Benchmark::either};
const Setting kSmall{Benchmark::enwik8, Size::small};

const Column kEnwik8Valid{"enwik8 val", kEnwik8, Metric::valid};
const Column kEnwik8Test{"enwik8 test", kEnwik8, Metric::test};
const Column kParameters{"parameters (M)", kEnwik8, Metric::parameters, "{:.2f}"};

std::vector<Column> language_modelling(const char* wikitext_format) {
  return {kEnwik8Valid,
          kEnwik8Test,
          {"WikiText-103 val", kWikiText, Metric::valid, wikitext_format},
          {"WikiText-103 test", kWikiText, Metric::test, wikitext_format}};
}

std::vector<Column> with_costs(std::vector<Column> columns) {
  columns.push_back({"router parameters (M)", kEither, Metric::router_parameters, "{:.3g}"});
  columns.push_back({"memory (GB)", kEither, Metric::memory, "{:.2f}"});
  columns.push_back({"s per 1000 steps", kEither, Metric::seconds, "{:.1f}"});
  return columns;
}

/// The tasks of the large models, in percent, between our validation loss and the average.
std::vector<Column> zero_shot() {
  const Setting setting{Benchmark::pretraining};
  const auto task = [&](const char* name, const char* file, const char* metric) {
    return Column{name, setting, Metric::task, "{:.2f}", file, metric};
  };
  return {{"pre-training val", setting, Metric::valid},
          task("ARC-e", "arc_easy", "acc"),
          task("Hella", "hellaswag", "acc_norm"),
          task("PIQA", "piqa", "acc_norm"),
          task("SciQ", "sciq", "acc"),
          task("LAMB", "lambada_openai", "acc"),
          {"avg", setting, Metric::task_average, "{:.2f}"}};
}

const PaperNumber kNone;
const std::vector<PaperNumber> kSmoe20B{kNone, 47.14, 35.51, 64.69, 76.2, 14.61, 47.63};
const std::vector<PaperNumber> kRmoe20B{kNone, 47.01, 35.91, 65.23, 78.7, 19.13, 49.20};

/// Every pre-trained model with every kind of tuning that it can have.
std::vector<Row> tuned_rows() {
  struct Kind {
    Tuning tuning;
    const char* label;
  };
  std::vector<Row> rows;
  size_t smoe = 0;  // SMoE with the same tuning
  for (const Kind& kind : {Kind{Tuning::none, ""}, Kind{Tuning::all, ", tuned"},
                           Kind{Tuning::router_frozen, ", tuned, router frozen"},
                           Kind{Tuning::router_and_cell_frozen, ", tuned, router and cell frozen"}}) {
    const bool pretrained = kind.tuning == Tuning::none;
    const auto add = [&](const char* label, const char* router, double state,
                         const std::vector<PaperNumber>& paper) {
      rows.push_back({label + std::string(kind.label),
                      router,
                      pretrained ? paper : std::vector<PaperNumber>{},
                      smoe,
                      {1, state, kind.tuning}});
    };
    if (kind.tuning != Tuning::router_and_cell_frozen) {  // it has no cell
      smoe = rows.size();
      add("SMoE", "smoe", 1, kSmoe20B);
    }
    add("RMoE, P = 128", "rmoe", 1, kRmoe20B);
    add("RMoE, P = 256", "rmoe", 2, {});
    add("RMoE, P = 512", "rmoe", 4, {});
    add("RMoE, RNN cell, P = 256", "rmoe-rnn", 2, {});
  }
  return rows;
}

/// Validation and test for the small model with each of the paper's numbers of layers.
std::vector<Column> layer_series() {
  std::vector<Column> columns;
  for (const int64_t layers : {6, 12, 18, 24, 32})
    for (const Metric metric : {Metric::valid, Metric::test})
      columns.push_back({fmt::format("{} layers {}", layers, metric == Metric::valid ? "val" : "test"),
                         {Benchmark::enwik8, Size::small, layers},
                         metric});
  return columns;
}

// clang-format off
const std::vector<PaperTable> kTables{
    {
        .name = "table1",
        .title = "Table 1: seven routers on two texts",
        .about = "language modelling with seven routers: loss, router size, memory, time",
        .columns = with_costs(language_modelling("{:.3f}")),
        //                           enwik8       WikiText-103    router  memory   time
        //                         val    test     val     test
        .rows = {
            {"SMoE",       "smoe",     {1.152, 1.128, 31.279, 33.061, 0.04, 47.92, 960.2}},
            {"HyperMoE",   "hyper",    {1.162, 1.139, 31.918, 33.374, 12.4, 49.69, 962.0}},
            {"SMoE-MLP",   "smoe-mlp", {1.164, 1.137, 31.430, 33.142, 0.75, 48.70, 964.1}},
            {"RandomSMoE", "random",   {1.163, 1.135, 31.938, 33.410, 0.04, 47.72, 961.4}},
            {"CosineMoE",  "cosine",   {1.148, 1.122, 31.367, 33.047, 0.04, 48.68, 962.4}},
            {"XMoE",       "xmoe",     {1.150, 1.125, 31.265, 32.926, 0.09, 48.70, 967.5}},
            {"RMoE",       "rmoe",     {1.141, 1.116, 30.939, 32.867, 0.47, 49.46, 972.9}},
        },
        .note = "The paper's memory and time are those of an A100. It counts an unused linear gate in "
                "HyperMoE and XMoE.",
    },
    {
        .name = "table2",
        .title = "Table 2: XMoE with and without the recurrent router",
        .about = "XMoE of three sizes, each alone and reading the recurrent state",
        .columns = language_modelling("{:.2f}"),
        .rows = {
            {"XMoE(8)",        "xmoe8",       {1.160, 1.132, 31.74, 33.55}, 0},
            {"XMoE(8) + GRU",  "xmoe8-rmoe",  {1.150, 1.124, 31.34, 32.99}, 0},
            {"XMoE(16)",       "xmoe",        {1.150, 1.125, 31.27, 32.93}, 2},
            {"XMoE(16) + GRU", "xmoe-rmoe",   {1.144, 1.119, 31.15, 32.47}, 2},
            {"XMoE(32)",       "xmoe32",      {1.140, 1.114, 31.30, 32.71}, 4},
            {"XMoE(32) + GRU", "xmoe32-rmoe", {1.136, 1.112, 31.25, 32.55}, 4},
        },
    },
    {
        .name = "table3",
        .title = "Table 3: pre-training, then zero-shot tasks",
        .about = "SMoE and RMoE pre-trained to two numbers of tokens, evaluated in five tasks",
        .columns = zero_shot(),
        //              tokens             ARC-e  Hella  PIQA   SciQ  LAMB   avg
        .rows = {
            {"SMoE, 20B", "smoe", kSmoe20B, 0},
            {"RMoE, 20B", "rmoe", kRmoe20B, 0},
            {"SMoE, 40B", "smoe", {kNone, 52.57, 40.85, 67.74, 83.4, 26.74, 54.26}, 2, {.steps = 2}},
            {"RMoE, 40B", "rmoe", {kNone, 51.18, 41.38, 67.79, 83.6, 32.58, 55.31}, 2, {.steps = 2}},
        },
        .note = "Tasks in percent, zero-shot: acc, but acc_norm of HellaSwag and PIQA. 20B and 40B are the "
                "paper's tokens: here, once and twice the config's steps, two runs.",
    },
    {
        .name = "table4",
        .title = "Table 4: is it the recurrence or the parameters?",
        .about = "a larger router and a router without passing, on the small and the medium model",
        .columns = {{"small val", kSmall, Metric::valid},
                    {"small test", kSmall, Metric::test},
                    {"small parameters (M)", kSmall, Metric::parameters, "{:.2f}"},
                    {"medium val", kEnwik8, Metric::valid},
                    {"medium test", kEnwik8, Metric::test},
                    {"medium parameters (M)", kEnwik8, Metric::parameters, "{:.2f}"}},
        .rows = {
            {"SMoE",      "smoe",     {1.214, 1.184, 15.32, 1.152, 1.128, 36.08}},
            {"SMoE-MLP",  "smoe-mlp", {1.214, 1.183, 15.73, 1.164, 1.137, 36.79}},
            {"RMoE + NP", "rmoe-np",  {1.227, 1.196, 15.61, 1.150, 1.123, 36.51}},
            {"RMoE",      "rmoe",     {1.213, 1.183, 15.61, 1.141, 1.116, 36.51}},
        },
        .note = "The paper's counts hold a LayerNorm per layer that is never used.",
    },
    {
        .name = "table5",
        .title = "Table 5: what passes between the layers",
        .about = "the recurrent gradient cut, no passing, and passing logits instead of the state",
        .columns = {kEnwik8Valid, kEnwik8Test},
        .rows = {
            {"SMoE",                           "smoe",                {1.152, 1.128}},
            {"RMoE",                           "rmoe",                {1.141, 1.116}},
            {"RMoE + detach h",                "rmoe-detach",         {1.159, 1.133}},
            {"RMoE + NP",                      "rmoe-np",             {1.150, 1.123}},
            {"RMoE + NP + r-0.5",              "rmoe-np-r0.5",        {1.149, 1.124}},
            {"RMoE + NP + r-1.0",              "rmoe-np-r1.0",        {1.150, 1.124}},
            {"RMoE + NP + r-0.5 + detach-r",   "rmoe-np-r0.5-detach", {1.157, 1.133}},
            {"RMoE + NP + r-1.0 + detach-r",   "rmoe-np-r1.0-detach", {1.152, 1.126}},
        },
    },
    {
        .name = "table6",
        .title = "Table 6: the recurrent cell and its projector",
        .about = "one projector per layer (L-proj) or for all (S-proj); GRU, RNN or LSTM",
        .columns = {kEnwik8Valid, kEnwik8Test, kParameters},
        .rows = {
            {"SMoE",                "smoe",             {1.152, 1.128, 36.08}},
            {"S-proj + GRU",        "rmoe-shared-proj", {1.148, 1.123, 36.23}},
            {"L-proj + RNN",        "rmoe-rnn",         {1.145, 1.119, 36.44}},
            {"L-proj + LSTM",       "rmoe-lstm",        {1.148, 1.122, 36.54}},
            {"L-proj + GRU (RMoE)", "rmoe",             {1.141, 1.116, 36.51}},
        },
    },
    {
        .name = "table7",
        .title = "Table 7: pre-trained models, fine-tuned on instructions",
        .about = "SMoE and RMoE with three sizes of state and two cells: as pre-trained, and tuned in three ways",
        .columns = zero_shot(),
        .rows = tuned_rows(),
        .note = "Tasks in percent, zero-shot: acc, but acc_norm of HellaSwag and PIQA. P is the paper's; ours "
                "is once, twice or four times the config's router.state. The sources of this program name "
                "the models and the ways of tuning but neither the numbers of this table nor how long its "
                "models were pre-trained: here they are those of 20B tokens of table 3, whose numbers stand "
                "beside the two it has, and the rest is unknown.",
    },
    {
        .name = "table8",
        .title = "Table 8: inner and outer balance of the gate",
        .about = "how far the gate's first choice is ahead of the second, and what the chosen have together",
        .columns = {{"inner balance", kEither, Metric::inner_balance, "{:#.4g}"},
                    {"outer balance", kEither, Metric::outer_balance}},
        .rows = {
            {"SMoE",              "smoe",         {34.68, 0.915}},
            {"HyperMoE",          "hyper",        {34.60, 0.920}},
            {"CosineMoE",         "cosine",       {7.611, 0.794}},
            {"XMoE",              "xmoe",         {19.93, 0.861}},
            {"RandomMoE",         "random",       {2.000, 0.414}},
            {"RMoE",              "rmoe",         {2.021, 0.573}},
            {"RMoE + NP",         "rmoe-np",      {16.58, 0.842}},
            {"RMoE + NP + r-0.5", "rmoe-np-r0.5", {2.792, 0.661}},
            {"RMoE + NP + r-1.0", "rmoe-np-r1.0", {1.147, 0.212}},
        },
        .note = "Inner balance: median over tokens of top-1 score / top-2 score. Outer balance: median of "
                "the summed top-K scores.",
    },
    {
        .name = "table11",
        .title = "Table 11: gradients of the router",
        .about = "norm of the router's gradient from the whole loss, the LM loss and the load-balance loss",
        .columns = {{"whole loss", kEither, Metric::gradient_total},
                    {"LM loss", kEither, Metric::gradient_lm},
                    {"load-balance loss", kEither, Metric::gradient_balance}},
        .rows = {{"SMoE", "smoe", {}}, {"RMoE + NP", "rmoe-np", {}}, {"RMoE", "rmoe", {}}},
        .note = "The paper measures this on a model of 15 B parameters; here it is the language model of "
                "table 1, so no numbers of the paper stand beside ours.",
    },
    {
        .name = "figure2",
        .title = "Figure 2: more layers",
        .about = "the small model with five numbers of layers, with its test losses (figure 14)",
        .columns = layer_series(),
        //     6             12            18            24            32
        .rows = {
            {"SMoE",         "smoe",
             {1.214, 1.184, 1.158, 1.132, 1.133, 1.109, 1.128, 1.108, 1.110, 1.085}},
            {"RMoE",         "rmoe",
             {1.213, 1.183, 1.151, 1.125, 1.125, 1.101, 1.112, 1.089, 1.100, 1.078}},
            {"RMoE-NP",      "rmoe-np",
             {1.215, 1.185, 1.169, 1.141, 1.142, 1.107, 1.149, 1.123, 1.114, 1.090}},
            {"RMoE-NP-r0.5", "rmoe-np-r0.5",
             {1.217, 1.188, 1.152, 1.127, 1.133, 1.108, 1.126, 1.101, 1.101, 1.080}},
        },
        .note = "The headings name the paper's layers. Table 4 gives 1.227 / 1.196 where this figure gives "
                "1.215 / 1.185 for RMoE-NP with 6 layers.",
        .drawing = Drawing::layers,
    },
    {
        .name = "figure3",
        .title = "Figure 3: mutual information between layers",
        .about = "how much the gates of two layers know of each other (also figures 6 and 7)",
        .columns = {{"mutual information (nats)", kEither, Metric::mutual_information, "{:.2f}"}},
        .rows = {{"SMoE",    "smoe",    {{0.16, 0.22}}},
                 {"RMoE",    "rmoe",    {{0.88, 1.12}}},
                 {"RMoE-NP", "rmoe-np", {{0.46, 0.52}}}},
        .note = "The paper: about the range over pairs of its 8 layers. Ours: mean over all pairs.",
        .drawing = Drawing::mutual_information,
    },
    {
        .name = "figure4",
        .title = "Figure 4: entropy of the gate",
        .about = "its distribution over tokens, layer by layer (also figures 8 to 10)",
        .columns = {{"gate entropy (nats)", kEither, Metric::gate_entropy}},
        .rows = {{"SMoE", "smoe", {}},
                 {"XMoE", "xmoe", {}},
                 {"RMoE-NP", "rmoe-np", {}},
                 {"RMoE", "rmoe", {}}},
        .drawing = Drawing::gate_entropy,
    },
    {
        .name = "figure11",
        .title = "Figure 11: weights of the router",
        .about = "norm and standard deviation of the gate matrix, layer by layer",
        .columns = {{"norm of the gate matrix", kEither, Metric::gate_norm},
                    {"its standard deviation", kEither, Metric::gate_deviation}},
        .rows = {{"SMoE", "smoe", {}}, {"RMoE-NP", "rmoe-np", {}}, {"RMoE", "rmoe", {}}},
        .drawing = Drawing::router_weights,
    },
    {
        .name = "figure12",
        .title = "Figure 12: how often each expert is chosen",
        .about = "share of assignments per expert and layer",
        .columns = {{"busiest expert / mean", kEither, Metric::busiest_expert}},
        .rows = {{"SMoE", "smoe", {}}, {"RMoE-NP", "rmoe-np", {}}, {"RMoE", "rmoe", {}}},
        .drawing = Drawing::expert_frequency,
    },
    {
        .name = "figure13",
        .title = "Figure 13: how alike the experts are",
        .about = "mean dot product of all pairs of experts (figure 5 has it for the large models)",
        .columns = {{"expert similarity", kEither, Metric::expert_similarity}},
        .rows = {{"SMoE", "smoe", {}}, {"RMoE-NP", "rmoe-np", {}}, {"RMoE", "rmoe", {}}},
        .note = "In the paper's scale, where equal experts have the number of their matrices' parts. Its "
                "large model (16 x 448 x 1280) has 0.18 at random initialisation.",
        .drawing = Drawing::expert_similarity,
    },
};
// clang-format on

}  // namespace

bool PaperTable::needs_tuning() const {
  return std::ranges::any_of(rows, [](const Row& row) { return row.variant.tuning != Tuning::none; });
}

const std::vector<PaperTable>& paper_tables() { return kTables; }

const PaperTable& paper_table(const std::string& name) {
  const auto found = std::ranges::find(kTables, name, &PaperTable::name);
  if (found == kTables.end())
    throw UsageError(concat("reproduce: there is no table \"", name, "\"; there are\n", table_list()));
  return *found;
}

std::string table_list() {
  std::string text;
  for (const PaperTable& table : kTables) text += fmt::format("  {:<10}{}\n", table.name, table.about);
  if (!text.empty()) text.pop_back();
  return text;
}

std::string to_text(const PaperNumber& number, const std::string& format) {
  if (!number.given()) return "";
  const std::string low = fmt::format(fmt::runtime(format), number.low);
  return number.low == number.high ? low : low + "–" + fmt::format(fmt::runtime(format), number.high);
}

std::string paper_text(Metric metric, const std::string& router) {
  for (const PaperTable& table : kTables) {
    const auto column = std::ranges::find(table.columns, metric, &Column::metric);
    const auto row = std::ranges::find(table.rows, router, &Row::router);
    if (column == table.columns.end() || row == table.rows.end() || row->paper.empty()) continue;
    return to_text(row->paper[size_t(column - table.columns.begin())], column->format);
  }
  return "";
}

}  // namespace rmoe::reproduce
