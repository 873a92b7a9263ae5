// The plan against gpu.md's own numbers for the paper's two experiments, and what it refuses.
#include "train/plan/plan.hpp"

#include "tests/op_case.hpp"
#include "train/plan/report.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace rmoe::test {
namespace {

using namespace plan;

Config config_of(const std::string& name, const std::vector<std::string>& overrides = {}) {
  return load_config(RMOE_SOURCE_DIR "/train/configs/" + name + ".toml", overrides);
}

Config paper(const std::string& router = "rmoe") {
  return config_of("pretrain-paper", {"router.name=" + router});
}

/// Eight A100 with 80 GB, micro-batch 4: what gpu.md section 1 assumes.
Layout eight(int zero = 0) {
  return {.gpu = &find_gpu("a100-80"), .gpus = 8, .micro_batch = 4, .zero = zero};
}

const Plan& paper_plan() {
  static const Plan plan = make_plan(paper(), eight());
  return plan;
}

bool close(double got, double wanted, double share) {
  return std::fabs(got - wanted) <= share * std::fabs(wanted);
}

Columns time_of_ops(const Plan& plan, const std::vector<std::string>& names) {
  Columns sum;
  for (const OpTime& t : plan.ops)
    if (std::ranges::find(names, t.op.name) != names.end())
      sum += time_of(t.op, *plan.layout.gpu, plan.layout.dtype);
  return sum;
}

double others_of(const Plan& plan) {
  return double(plan.sizes.parameters.total - plan.sizes.expert_parameters);
}

double bytes_of(const std::vector<MemoryItem>& items, const std::string& name) {
  return std::ranges::find(items, name, &MemoryItem::name)->bytes;
}

/// Products of a step in the budget, less those of attention's backward pass that it computes a second time,
/// which the model does not count as its own: the scores, and in lm their relative part.
double own_flops(const Plan& plan) {
  const Sizes& s = plan.sizes;
  double flops = 0;
  for (const OpTime& t : plan.ops) flops += t.op.times * t.op.flops;
  const double again = s.llama ? double(s.T) : 4 * double(s.S);  // causal: half of 2 T
  return flops - plan.tokens_per_step() * again * double(s.C * s.L);
}

std::string refusal(const Config& config, const Layout& layout) {
  return error_of([&] { make_plan(config, layout); });
}

}  // namespace

TEST_CASE("plan: parameters and FLOPs of the paper's pre-training are exact") {
  const double C = 1280, F = 448, K = 4, E = 16, P = 128, V = 96512, L = 24, T = 4096;
  const Plan smoe = make_plan(paper("smoe"), eight());
  CHECK(smoe.sizes.parameters.total == 1'065'514'240);
  CHECK(paper_plan().sizes.parameters.total == 1'065'514'240 + 3'588'864);
  const auto all = [&](double router) {
    return 3 * (L * (8 * C * C + 2 * C * (T + 1) + K * 6 * C * F + router) + 2 * C * V);
  };
  CHECK(smoe.sizes.flops_per_token == all(2 * C * E));
  // The first layer's state is a constant 0 and takes no gradient.
  CHECK(paper_plan().sizes.flops_per_token == all(2 * (C * P + 6 * P * P + P * E)) - 6 * P * P);
  CHECK(close(smoe.sizes.flops_per_token, 3.434e9, 1e-3));
  CHECK(close(paper_plan().sizes.flops_per_token, 3.469e9, 1e-3));
  CHECK(close(paper_plan().flops_per_step(), 15.91e15, 1e-3));
}

TEST_CASE("plan: the budget of a layer is gpu.md's, row by row") {
  struct Row {
    std::vector<std::string> ops;
    double limit, good, first;  // us
  };
  const std::vector<Row> rows = {
      {{"F norm 1 + residual"}, 84, 108, 133},
      {{"F q, k, v"}, 516, 698, 759},
      {{"F attention"}, 551, 1039, 1449},
      {{"F o"}, 172, 246, 269},
      {{"F norm 2 + residual"}, 84, 108, 133},
      {{"F router projection"}, 25, 49, 115},
      {{"F cell, gate, top K"}, 13, 53, 211},
      {{"F experts, first products"}, 482, 803, 1147},
      {{"F experts, last product"}, 241, 438, 602},
      {{"F combine"}, 105, 134, 165},
      {{"B weights of the combination"}, 21, 30, 37},
      {{"B experts, last product, dx"}, 241, 438, 634},
      {{"B experts, last product, dw"}, 241, 438, 634},
      {{"B experts, first products, dx"}, 482, 803, 1147},
      {{"B sum over a token's rows"}, 105, 131, 161},
      {{"B experts, first products, dw"}, 482, 803, 1205},
      {{"B router"}, 75, 222, 694},
      {{"B norm 2"}, 84, 108, 133},
      {{"B o, dx", "B o, dw"}, 344, 511, 566},
      {{"B attention"}, 1377, 2993, 4302},
      {{"B q, k, v, dx", "B q, k, v, dw"}, 1032, 1435, 1592},
      {{"B norm 1"}, 84, 108, 133},
  };
  for (const Row& row : rows) {
    CAPTURE(row.ops[0]);
    const Columns got = time_of_ops(paper_plan(), row.ops);
    CHECK(close(got.limit * 1e6, row.limit, 0.03));
    CHECK(close(got.good * 1e6, row.good, 0.03));
    CHECK(close(got.first * 1e6, row.first, 0.03));
  }
  const Columns sort = time_of_ops(paper_plan(), {"F sort"});
  CHECK(sort.good * 1e6 == doctest::Approx(18).epsilon(0.05));
  CHECK(sort.first * 1e6 == doctest::Approx(44).epsilon(0.05));
  const Columns head =
      time_of_ops(paper_plan(), {"F head", "softmax, loss and dlogits", "B head, dx", "B head, dw"});
  CHECK(close(head.limit, 38.9e-3, 0.01));
  CHECK(close(head.good, 58.5e-3, 0.01));
  CHECK(close(head.first, 68.7e-3, 0.01));
}

TEST_CASE("plan: micro-batch, step, speed and days of the paper's pre-training are gpu.md's") {
  const Plan& p = paper_plan();
  CHECK(p.micro_steps == 35);
  CHECK(close(p.micro_batch_s.limit, 203e-3, 0.01));
  CHECK(close(p.micro_batch_s.good, 340e-3, 0.01));
  CHECK(close(p.micro_batch_s.first, 459e-3, 0.01));
  CHECK(close(p.step_s.limit, 7.15, 0.01));
  CHECK(close(p.step_s.good, 11.9, 0.01));
  CHECK(close(p.step_s.first, 16.1, 0.01));
  CHECK(close(p.mfu(p.step_s.limit), 0.89, 0.01));
  CHECK(close(p.mfu(p.step_s.good), 0.53, 0.01));
  CHECK(close(p.mfu(p.step_s.first), 0.395, 0.01));
  CHECK(close(p.optimizer_s.limit, 16e-3, 0.02));
  CHECK(close(p.communication_s.good, 32e-3, 0.02));
  CHECK(close(make_plan(paper(), eight(1)).communication_s.good, 24e-3, 0.02));
  CHECK(close(make_plan(paper(), eight(1)).optimizer_s.good, 2.5e-3, 0.02));
}

TEST_CASE("plan: what a layer keeps per token is gpu.md's, to the byte") {
  const auto kept = [](Recompute r) {
    return total_of(kept_per_token(paper_plan().sizes, true, DType::bf16, r));
  };
  CHECK(kept(Recompute::none) == 54'712);
  CHECK(kept(Recompute::lean) == 23'224);
  CHECK(kept(Recompute::experts) == 16'056);
  CHECK(kept(Recompute::layer) == 3'072);
}

TEST_CASE("plan: memory per GPU is gpu.md's table, and within the limits set for this config") {
  struct Row {
    int zero;
    Recompute recompute;
    double gb[5];
  };
  const Row rows[] = {
      {0, Recompute::none, {26, 32, 43, 64, 75}},  {0, Recompute::lean, {23, 26, 30, 39, 44}},
      {0, Recompute::layer, {22, 22, 23, 25, 26}}, {1, Recompute::none, {15, 21, 31, 53, 64}},
      {1, Recompute::lean, {12, 14, 19, 28, 33}},  {1, Recompute::layer, {10, 11, 12, 14, 15}}};
  const int64_t micro_batches[] = {1, 2, 4, 8, 10};
  for (const Row& row : rows)
    for (int i = 0; i < 5; ++i) {
      Layout layout = eight(row.zero);
      layout.recompute = row.recompute;
      layout.micro_batch = micro_batches[i];
      CAPTURE(row.zero);
      CAPTURE(layout.micro_batch);
      const double gb = total_of(memory_of(paper_plan().sizes, layout)) / 1e9;
      CHECK(std::fabs(gb - row.gb[i]) < 1.5);
    }
  CHECK(total_of(memory_of(paper_plan().sizes, eight(0))) <= 31e9);
  CHECK(total_of(memory_of(paper_plan().sizes, eight(1))) <= 20e9);
  CHECK(paper_plan().step_s.good <= 16);
  const std::vector<MemoryItem> states = memory_of(paper_plan().sizes, eight());
  CHECK(bytes_of(states, "weights") == 2.0 * 1'069'103'104);
  CHECK(bytes_of(states, "moments") == 8.0 * 1'069'103'104);
  CHECK(bytes_of(memory_of(paper_plan().sizes, eight(1)), "moments") == 1'069'103'104);
}

TEST_CASE("plan: enwik8-medium on one A100") {
  const Plan p = make_plan(config_of("enwik8-medium"), {.gpu = &find_gpu("a100-80")});
  CHECK(p.layout.micro_batch == 48);
  CHECK(p.sizes.parameters.total == 36'502'029);
  CHECK(p.step_s.good <= 0.130);
  CHECK(total_of(p.memory) <= 6e9);
  const Plan smoe =
      make_plan(config_of("enwik8-medium", {"router.name=smoe"}), {.gpu = &find_gpu("a100-80")});
  CHECK(close(smoe.step_s.limit, 19e-3, 0.08));
  CHECK(close(smoe.step_s.good, 70e-3, 0.05));
  CHECK(close(smoe.step_s.first, 130e-3, 0.08));
  CHECK(close(own_flops(p), p.flops_per_step(), 1e-3));
  // In two parts the whole batch's loads take a forward pass more.
  Layout halves = p.layout;
  halves.micro_batch = 24;
  CHECK(make_plan(config_of("enwik8-medium"), halves).step_s.good > 1.2 * p.step_s.good);
}

TEST_CASE("plan: a ragged last micro-batch costs what it holds") {
  Layout layout = eight();
  layout.micro_batch = 8;
  const Plan p = make_plan(paper(), layout);  // 140 = 17 * 8 + 4
  CHECK(p.micro_steps == 18);
  CHECK(p.compute_s.good == doctest::Approx(17 * p.micro_batch_s.good + paper_plan().micro_batch_s.good));
}

TEST_CASE("plan: recomputing takes time and saves memory") {
  double memory = INFINITY, time = 0;
  for (const Recompute r : {Recompute::lean, Recompute::experts, Recompute::layer}) {
    Layout layout = eight();
    layout.recompute = r;
    const Plan p = make_plan(paper(), layout);
    CHECK(total_of(p.memory) < memory);
    CHECK(p.step_s.good > time);
    memory = total_of(p.memory);
    time = p.step_s.good;
  }
  CHECK(close(time, paper_plan().step_s.good * 4 / 3, 0.08));  // layer: forward of all layers again
}

TEST_CASE("plan: the 15B model needs its experts spread over GPUs") {
  const Config config = config_of("deepseek-15b");
  const Layout plain{.gpu = &find_gpu("a100-80"), .gpus = 40, .zero = 1};
  CHECK(make_plan(config, plain).largest_micro_batch == 0);
  CHECK(!make_plan(config, plain).fits());
  Layout spread = plain;
  spread.expert_parallel = 10;
  const Plan p = make_plan(config, spread);
  CHECK(p.fits());
  CHECK(p.sizes.expert_parameters == 26 * 60 * 3 * 2048LL * 1408);
  const double others = others_of(p), held = others + double(p.sizes.expert_parameters) / 10;
  CHECK(bytes_of(p.memory, "weights") == doctest::Approx(2 * held));
  CHECK(bytes_of(p.memory, "moments") ==
        doctest::Approx(8 * (others / 40 + double(p.sizes.expert_parameters) / 40)));
  CHECK(p.communication_s.good > make_plan(config, plain).communication_s.good);
}

TEST_CASE("plan: rows travel within groups of neighbours, sums of experts across them") {
  Layout layout = eight();
  layout.expert_parallel = 8;
  const auto seconds = [&] { return make_plan(paper(), layout).communication_s.good; };
  const double whole = seconds(), all_to_all = whole - others_of(paper_plan()) * 7 / 232.5e9;
  CHECK(close(whole, 35 * 70e-3, 0.03));  // gpu.md: 70 ms per micro-batch of four, over eight GPUs
  layout.recompute = Recompute::experts;
  CHECK(seconds() == doctest::Approx(whole + all_to_all / 2));  // once more to the experts and back
  layout.recompute = Recompute::lean;
  const double experts = double(paper_plan().sizes.expert_parameters);
  layout.gpus = 16;  // two nodes, each with a group of eight
  const double sums = 8 * (others_of(paper_plan()) * 15 / 16 + experts / 8 / 2) / 86e9;
  CHECK(seconds() == doctest::Approx(all_to_all / 2 + sums));
}

TEST_CASE("plan: layouts that cannot be are refused") {
  const Layout base = eight();
  const auto with = [&](auto change) {
    Layout layout = base;
    change(layout);
    return layout;
  };
  CHECK(refusal(paper(), with([](Layout& l) { l.gpus = 9; })) ==
        "plan: train.batch = 1120 streams cannot be divided among 9 GPUs");
  CHECK(refusal(paper(), with([](Layout& l) { l.micro_batch = 141; })) ==
        "plan: --micro-batch 141 is more than the 140 streams a GPU has in a step");
  CHECK(refusal(paper(), {.gpu = base.gpu, .zero = 1}) ==
        "plan: --zero 1 cuts the optimizer's state among GPUs, and there is one");
  CHECK(refusal(paper(), with([](Layout& l) { l.expert_parallel = 3; })) ==
        "plan: --expert-parallel 3 does not divide 8 GPUs");
  CHECK(refusal(paper("dense"), with([](Layout& l) { l.expert_parallel = 2; })) ==
        "plan: --expert-parallel 2: a dense model has no experts");
  CHECK(refusal(config_of("enwik8-medium", {"model.vocab=205"}), with([](Layout& l) {
                  l.expert_parallel = 2;
                })) == "plan: --expert-parallel 2: wants model.kind = \"llama\", got \"lm\"");
  CHECK(refusal(config_of("deepseek-15b"), with([](Layout& l) { l.expert_parallel = 8; })) ==
        "plan: --expert-parallel 8 does not divide 60 experts");
  CHECK(error_of([] { find_gpu("a100"); }) ==
        "--gpu: there is no \"a100\"; known are a100-80, a100-40, h100-80, h200-141");
}

TEST_CASE("plan: every router and kind can be planned, in both dtypes; the ops hold the model's products") {
  for (const std::string& router : router_names())
    for (const DType dtype : {DType::bf16, DType::f32}) {
      CAPTURE(router);
      const Plan p = make_plan(config_of("llama-small", {"router.name=" + router, "model.vocab=256"}),
                               {.gpu = &find_gpu("h100-80"), .dtype = dtype});
      CHECK(close(own_flops(p), p.flops_per_step(), 0.005));
      CHECK(p.step_s.limit < p.step_s.good);
      CHECK(p.step_s.good < p.step_s.first);
      CHECK(p.fits());
    }
}

TEST_CASE("plan: predictions are called that") {
  const std::string text = to_text(paper_plan(), paper(), true);
  CHECK(text.find("Predictions, not measured") != text.npos);
  CHECK(text.find("24 x B attention") != text.npos);
  const auto json = to_json(paper_plan(), paper());
  CHECK(json.at("measured") == false);
  CHECK(json.at("memory_bytes").at("together") == total_of(paper_plan().memory));
  CHECK(json.at("time").at("step_s").at("good") == paper_plan().step_s.good);
  CHECK(json.at("ops").size() == paper_plan().ops.size());
}

}  // namespace rmoe::test
