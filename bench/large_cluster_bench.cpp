// Simulated clusters of many devices with a model of 405B parameters (tests/sim/large_cluster.h).
//   large_cluster_bench [DEVICES…]   default: 8 32 128

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "large_cluster.h"

int main(int argc, char** argv) {
  std::vector<uint32_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(static_cast<uint32_t>(std::max(1, std::atoi(argv[i]))));
  if (sizes.empty()) sizes = {8, 32, 128};
  fmt::print(
      "| devices | stages | tokens/s | bound | of it | messages to form, per node | gossip of them | MB | "
      "heartbeats/s per node | gossip/s per node | messages per token |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|\n");
  bool all = true;
  for (const uint32_t n : sizes) {
    const auto start = std::chrono::steady_clock::now();
    const auto r = exo::sim::LargeCluster(n).run();
    all = all && r.finished;
    fmt::print("| {} | {} | {:.1f} | {:.1f} | {:.0f} % | {:.0f} | {:.0f} | {:.2f} | {:.0f} | {:.1f} | {:.1f} |\n",
               n, r.n_stages, r.tokens_per_s, r.bound_tokens_per_s,
               100 * r.tokens_per_s / std::max(r.bound_tokens_per_s, 1e-9), r.forming_messages, r.forming_gossip,
               r.forming_bytes / 1e6, r.heartbeats_per_s, r.gossip_per_s, r.messages_per_token);
    fmt::print(stderr, "{} devices simulated in {:.1f} s\n", n,
               std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return all ? 0 : 1;
}
