// The tables and figures of the paper (Layerwise Recurrent Router for Mixture-of-Experts, ICLR 2025) as data:
// what stands in them, and which runs give the same numbers here. Nothing else in this folder knows one table
// from another.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace rmoe::reproduce {

/// The text that a column of the paper was measured on. `either`: a number that hardly depends on it;
/// `pretraining`: the large models, on what they were pre-trained on and in zero-shot tasks.
enum class Benchmark { enwik8, wikitext103, either, pretraining };
/// The paper's two models; the small one is the medium one times 3/4 (see scale.hpp).
enum class Size { medium, small };

/// What was trained, apart from the router.
struct Setting {
  Benchmark benchmark = Benchmark::enwik8;
  Size size = Size::medium;
  int64_t layers = 0;  // the paper's number of layers, 0: the size's own
};

enum class Metric {
  valid,  // BPC, or perplexity if tokens are words
  test,
  parameters,         // all, in millions
  router_parameters,  // in millions
  memory,             // peak, GB
  seconds,            // per 1000 steps
  task,               // a metric of a zero-shot task, in percent
  task_average,       // of all tasks of the table
  inner_balance,      // from here on: is_analysis()
  outer_balance,
  mutual_information,  // mean over pairs of layers
  gate_entropy,        // mean over layers
  gate_norm,
  gate_deviation,
  busiest_expert,  // its share of assignments times E, mean over layers
  expert_similarity,
  gradient_total,  // norm of the router's gradient: whole loss, LM loss, load-balance loss
  gradient_lm,
  gradient_balance,
};

/// Does the number come out of analyze() rather than out of training?
inline bool is_analysis(Metric metric) { return metric >= Metric::inner_balance; }

/// A number of the paper, or a range that it gives; none if it gives neither.
struct PaperNumber {
  double low = std::numeric_limits<double>::quiet_NaN(), high = low;

  PaperNumber() = default;
  PaperNumber(double value) : low(value), high(value) {}
  PaperNumber(double low, double high) : low(low), high(high) {}
  bool given() const { return low == low; }
};

struct Column {
  std::string name;  // as in the paper
  Setting setting;
  Metric metric;
  std::string format = "{:.3f}";  // of the paper's numbers
  std::string task = {}, task_metric = {};
};

/// What becomes of a pre-trained model: nothing, or fine-tuning on instructions with these parts frozen.
enum class Tuning { none, all, router_frozen, router_and_cell_frozen };

/// How a row's model differs from that of its column's config, besides the router.
struct Variant {
  double steps = 1;  // times the config's
  double state = 1;  // router.state, likewise
  Tuning tuning = Tuning::none;
};

struct Row {
  std::string label;               // as in the paper
  std::string router;              // our preset
  std::vector<PaperNumber> paper;  // one per column, or empty: the paper has no numbers
  size_t baseline = 0;             // the row that differences are taken to
  Variant variant = {};
};

/// What an HTML page shows besides the table.
enum class Drawing {
  none,
  layers,
  mutual_information,
  gate_entropy,
  router_weights,
  expert_frequency,
  expert_similarity
};

struct PaperTable {
  std::string name, title, about;
  std::vector<Column> columns;
  std::vector<Row> rows;
  std::string note = {};
  Drawing drawing = Drawing::none;

  /// Of models that are pre-trained, fine-tuned and evaluated in tasks?
  bool is_pretraining() const { return columns[0].setting.benchmark == Benchmark::pretraining; }
  /// Do any of its rows need instructions?
  bool needs_tuning() const;
};

const std::vector<PaperTable>& paper_tables();
/// A UsageError lists all tables if there is none of this name.
const PaperTable& paper_table(const std::string& name);
/// One line per table: its name and what it is about.
std::string table_list();

/// A number as the paper writes it, "0.16–0.22" for a range, "" if none is given.
std::string to_text(const PaperNumber& number, const std::string& format);
/// What the first table with this metric gives for a router preset; "" if there is nothing.
std::string paper_text(Metric metric, const std::string& router);

}  // namespace rmoe::reproduce
