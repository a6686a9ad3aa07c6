// A group of devices that computes every layer together, on the loopback interface: members with one thread each,
// as threads of this process that exchange over the streams that real members use. Compares with one device, and
// first of all checks that the logits are the same.
//
// usage: group_bench MODEL.gguf [MEMBERS 2] [PROMPT 256] [TOKENS 32] [ROUNDS 3] [SEQUENCES 1] [CHUNK 128]
//
// SEQUENCES are decoded together, after the prompt of one of them. CHUNK: rows of a step of the prompt.
// The rounds of both settings are interleaved, and the best of each is shown: a preempted member holds up all
// others.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "model/load.h"
#include "net/node_network.h"
#include "ops/cpu/cpu_ops.h"
#include "ring/group_links.h"

namespace exo {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void stop(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

template <typename T>
T get(Result<T> result) {
  if (!result) stop(result.error().message);
  return std::move(*result);
}

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

class Node : public net::TransportListener {
 public:
  Node(int i, std::vector<std::string> seeds)
      : network(loop, get(net::Identity::generate()), options(i, std::move(seeds))) {
    network.add_listener(this);
    if (!network.start()) stop("no network");
    loop.start();
  }
  ~Node() override {
    loop.run_and_wait([this] { network.stop(); });
    loop.stop();
  }
  void on_link_up(const net::LinkInfo&) override { ++n_links; }
  void on_link_down(const NodeId&, const Error&) override { --n_links; }
  void on_message(const NodeId&, wire::Message) override {}

  net::EventLoop loop;
  net::NodeNetwork network;
  std::atomic<int> n_links = 0;

 private:
  static net::NetworkOptions options(int i, std::vector<std::string> seeds) {
    net::NetworkOptions out;
    out.interfaces = {"lo"};
    out.peer_port = 0;
    out.discovery_port = 0;
    out.seeds = std::move(seeds);
    out.name = fmt::format("node-{}", i);
    out.software_version = "bench";
    return out;
  }
};

// Adds up how long the engine's thread is in exchanges.
class Timed final : public model::GroupExchange {
 public:
  explicit Timed(ring::StageGroup& inner) : inner_(inner) {}
  Status exchange(std::span<const std::byte> own, std::span<const std::span<std::byte>> parts,
                  Receivers receivers) override {
    const auto begin = Clock::now();
    auto done = inner_.exchange(own, parts, receivers);
    ms += ms_since(begin);
    ++n;
    return done;
  }
  double ms = 0;
  int n = 0;

 private:
  ring::StageGroup& inner_;
};

struct Times {
  double prefill_ms = 0, decode_ms = 0, prefill_exchange_ms = 0, decode_exchange_ms = 0;
  int gathers = 0;                  // of a token
  std::vector<double> exchange_us;  // of kExchangeBytes
  std::vector<float> logits;
};

struct Setting {
  std::shared_ptr<const formats::GgufFile> file;
  int32_t n_prompt = 0, n_tokens = 0, n_sequences = 1, chunk = 128;
};

Times run_member(const Setting& setting, const model::TensorShare& share, ring::StageGroup* group,
                 int threads = 1) {
  const auto ops = ops::make_cpu_ops({.threads = threads});
  const auto info = get(model::read_model_info(*setting.file));
  constexpr int32_t kBlock = 32;
  const int32_t n_positions = setting.n_prompt + setting.n_tokens + 8;
  const int32_t n_blocks = (n_positions + kBlock - 1) / kBlock;  // of a sequence
  model::StageConfig config{.layers = {LayerIndex(0), LayerIndex(info.n_layers)},
                            .share = share,
                            .max_batch_rows = setting.chunk,
                            .block_positions = kBlock,
                            .n_blocks = n_blocks * setting.n_sequences};
  const auto stage = get(model::load_stage(setting.file, config, *ops));
  std::vector<BlockId> table;
  for (int32_t b = 0; b < config.n_blocks; ++b) table.emplace_back(static_cast<uint32_t>(b));
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < setting.chunk; ++i) tokens.emplace_back((i * 7919 + 11) % info.n_vocab);
  std::optional<Timed> timed;
  if (group) timed.emplace(*group);
  uint64_t step = 0;
  Times times;
  const auto forward = [&](int32_t first, int32_t n, int32_t n_sequences, bool wants) {
    if (group) {
      if (auto begun = group->begin_step(MicroBatchId(++step)); !begun) stop(begun.error().message);
    }
    std::vector<model::StepSequence> sequences;
    for (int32_t s = 0; s < n_sequences; ++s) {
      const auto own_blocks =
          std::span(table).subspan(static_cast<size_t>(s * n_blocks), static_cast<size_t>(n_blocks));
      sequences.push_back(
          {.first = Position(first), .n_tokens = n, .block_table = own_blocks, .wants_logits = wants, .slot = s});
    }
    const auto out = get(stage->forward({.sequences = sequences,
                                         .tokens = std::span(tokens).first(static_cast<size_t>(n * n_sequences)),
                                         .group = timed ? &*timed : nullptr}));
    times.logits.assign(out.begin(), out.end());
  };
  forward(0, 1, setting.n_sequences, true);  // warm
  const double before = timed ? timed->ms : 0;
  auto begin = Clock::now();
  for (int32_t first = 0; first < setting.n_prompt; first += setting.chunk)
    forward(first, std::min(setting.chunk, setting.n_prompt - first), 1, first + setting.chunk >= setting.n_prompt);
  times.prefill_ms = ms_since(begin);
  const double between = timed ? timed->ms : 0;
  const int n_between = timed ? timed->n : 0;
  begin = Clock::now();
  for (int32_t i = 0; i < setting.n_tokens; ++i) forward(setting.n_prompt + i, 1, setting.n_sequences, true);
  times.decode_ms = ms_since(begin) / setting.n_tokens;
  if (timed) {
    times.prefill_exchange_ms = between - before;
    times.decode_exchange_ms = (timed->ms - between) / setting.n_tokens;
    times.gathers = (timed->n - n_between) / setting.n_tokens;
  }
  return times;
}

// Microseconds of one exchange of so many bytes by each member, nothing else being done.
double exchange_us(ring::StageGroup& group, size_t n_members, size_t own_member, size_t bytes) {
  const int n = bytes < 100'000 ? 2000 : 100;
  std::vector<std::byte> own(bytes);
  std::vector<std::vector<std::byte>> received(n_members);
  std::vector<std::span<std::byte>> parts;
  for (size_t i = 0; i < n_members; ++i) {
    received[i].resize(i == own_member ? 0 : bytes);
    parts.emplace_back(received[i]);
  }
  if (auto begun = group.begin_step(MicroBatchId(1'000'000 + bytes)); !begun) stop(begun.error().message);
  const auto begin = Clock::now();
  for (int i = 0; i < n; ++i) {
    if (auto done = group.exchange(own, parts, model::GroupExchange::Receivers::kAll); !done)
      stop(done.error().message);
  }
  return 1e3 * ms_since(begin) / n;
}

constexpr size_t kExchangeBytes[] = {1024, 4608, 8192, 1 << 20};

Times run_group(const Setting& setting, int32_t n) {
  std::vector<std::unique_ptr<Node>> nodes;
  std::vector<std::string> seeds;
  std::vector<NodeId> ids;
  for (int32_t i = 0; i < n; ++i) {
    nodes.push_back(std::make_unique<Node>(i, seeds));
    seeds.push_back(fmt::format("127.0.0.1:{}", nodes.back()->network.peer_port()));
    ids.push_back(nodes.back()->network.self());
  }
  while (std::ranges::any_of(nodes, [&](const auto& node) { return node->n_links < n - 1; }))
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::vector<uint32_t> shares(static_cast<size_t>(n), model::TensorShare::kWhole / static_cast<uint32_t>(n));
  shares[0] += model::TensorShare::kWhole - shares[0] * static_cast<uint32_t>(n);
  std::vector<Times> times(static_cast<size_t>(n));
  std::vector<std::thread> threads;
  for (int32_t i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      ring::GroupLinks links(get(nodes[static_cast<size_t>(i)]->network.open_group("bench", ids)), ids, i);
      times[static_cast<size_t>(i)] = run_member(setting, get(model::TensorShare::make(shares, i)), &links);
      for (const size_t bytes : kExchangeBytes)
        times[static_cast<size_t>(i)].exchange_us.push_back(
            exchange_us(links, static_cast<size_t>(n), static_cast<size_t>(i), bytes));
    });
  }
  for (auto& thread : threads) thread.join();
  return times[0];
}

void keep_best(Times now, Times& best) {
  if (best.decode_ms == 0 || now.decode_ms < best.decode_ms) {
    best.decode_ms = now.decode_ms;
    best.decode_exchange_ms = now.decode_exchange_ms;
    best.gathers = now.gathers;
  }
  if (best.prefill_ms == 0 || now.prefill_ms < best.prefill_ms) {
    best.prefill_ms = now.prefill_ms;
    best.prefill_exchange_ms = now.prefill_exchange_ms;
  }
  if (best.exchange_us.empty()) best.exchange_us = now.exchange_us;
  for (size_t i = 0; i < now.exchange_us.size(); ++i)
    best.exchange_us[i] = std::min(best.exchange_us[i], now.exchange_us[i]);
  best.logits = std::move(now.logits);
}

}  // namespace
}  // namespace exo

int main(int argc, char** argv) {
  using namespace exo;
  const auto number = [&](int i, int32_t otherwise) { return argc > i ? std::atoi(argv[i]) : otherwise; };
  if (argc < 2)
    stop("usage: group_bench MODEL.gguf [MEMBERS 2] [PROMPT 256] [TOKENS 32] [ROUNDS 3] [SEQUENCES 1] [CHUNK 128]");
  const Setting setting{.file = std::make_shared<const formats::GgufFile>(get(formats::GgufFile::open(argv[1]))),
                        .n_prompt = number(3, 256),
                        .n_tokens = number(4, 32),
                        .n_sequences = number(6, 1),
                        .chunk = number(7, 128)};
  const int32_t n_members = number(2, 2);
  Times alone, together, group;
  for (int32_t round = 0; round < number(5, 3); ++round) {
    keep_best(run_member(setting, {}, nullptr), alone);
    keep_best(run_member(setting, {}, nullptr, n_members), together);
    keep_best(run_group(setting, n_members), group);
    if (group.logits != alone.logits) stop("the group's logits differ from one device's");
  }
  const auto print = [&](const char* name, const Times& times) {
    std::printf("%-13s %8.2f ms and %6.1f tokens/s, x %.3f   prompt of %d %8.1f ms, x %.3f\n", name,
                times.decode_ms, 1e3 * setting.n_sequences / times.decode_ms, alone.decode_ms / times.decode_ms,
                setting.n_prompt, times.prefill_ms, alone.prefill_ms / times.prefill_ms);
  };
  print("one device", alone);
  print(fmt::format("{} threads", n_members).c_str(), together);  // what this machine has
  print(fmt::format("group of {}", n_members).c_str(), group);
  std::printf(
      "of that exchanges %.2f ms per step (%d, %.1f us each, with waiting for the others), %.1f ms of the "
      "prompt\n",
      group.decode_exchange_ms, group.gathers, 1e3 * group.decode_exchange_ms / group.gathers,
      group.prefill_exchange_ms);
  std::printf("exchanges alone:");
  for (size_t i = 0; i < group.exchange_us.size(); ++i)
    std::printf("  %zu bytes %.1f us", kExchangeBytes[i], group.exchange_us[i]);
  std::printf("\n");
}
