// Attention of the CPU device by shape, number format and depth: first checked against softmax in double, then
// timed (best of many), printed as GB/s of keys and values and as GFLOP/s, with the distance to what the machine
// reaches (--help).

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "bench_options.h"
#include "bench_run.h"
#include "machine_limits.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::bench {
namespace {

constexpr int32_t kBlockPositions = 32;
constexpr uint64_t kBeyondCaches = uint64_t{192} << 20;  // bytes of layers that take turns

struct Shape {
  int32_t heads, kv_heads, dim;
};

// Layers of a cache filled to `depth` with random keys and values.
class Cache {
 public:
  Cache(ops::Ops& device, const Shape& shape, ElementType type, int32_t depth) : shape_(shape) {
    const int32_t n_blocks = (depth + kBlockPositions - 1) / kBlockPositions;
    for (int32_t b = 0; b < n_blocks; ++b) table_.push_back(BlockId{static_cast<uint32_t>(b * 7 % n_blocks)});
    if (n_blocks % 7 == 0) {
      for (int32_t b = 0; b < n_blocks; ++b) table_[static_cast<size_t>(b)] = BlockId{static_cast<uint32_t>(b)};
    }
    const auto cols = static_cast<size_t>(shape.kv_heads * shape.dim);
    keys_ = random_floats(static_cast<size_t>(depth) * cols, 1);
    values_ = random_floats(static_cast<size_t>(depth) * cols, 2);
    bytes_ = *row_bytes(type, static_cast<uint64_t>(shape.dim)) *
             static_cast<uint64_t>(n_blocks * kBlockPositions * shape.kv_heads);
    const auto n_layers = static_cast<int>(std::clamp<uint64_t>(kBeyondCaches / (2 * bytes_), 1, 64));
    for (int i = 0; i < n_layers; ++i) {
      buffers_.push_back(*device.allocate(bytes_));
      buffers_.push_back(*device.allocate(bytes_));
      layers_.push_back({.keys = buffers_[buffers_.size() - 2]->data(),
                         .values = buffers_.back()->data(),
                         .type = type,
                         .n_blocks = n_blocks,
                         .block_positions = kBlockPositions,
                         .n_kv_heads = shape.kv_heads,
                         .key_dim = shape.dim,
                         .value_dim = shape.dim});
      const ops::SequenceRows rows{0, depth, Position{0}, table_};
      device.store_kv(tensor(keys_, depth, cols), tensor(values_, depth, cols), layers_.back(), {&rows, 1});
    }
  }

  static ops::Tensor tensor(std::vector<float>& v, int64_t rows, size_t cols) {
    return {v.data(), rows, static_cast<int64_t>(cols), static_cast<int64_t>(cols)};
  }
  const ops::KvCacheView& layer(size_t i) const { return layers_[i % layers_.size()]; }
  std::span<const BlockId> table() const { return table_; }
  uint64_t bytes() const { return 2 * bytes_; }
  float key(int32_t position, int32_t head, int32_t i) const { return at(keys_, position, head, i); }
  float value(int32_t position, int32_t head, int32_t i) const { return at(values_, position, head, i); }

 private:
  float at(const std::vector<float>& v, int32_t position, int32_t head, int32_t i) const {
    return v[static_cast<size_t>((position * shape_.kv_heads + head) * shape_.dim + i)];
  }

  Shape shape_;
  std::vector<BlockId> table_;
  std::vector<float> keys_, values_;
  uint64_t bytes_ = 0;
  std::vector<std::unique_ptr<ops::Buffer>> buffers_;
  std::vector<ops::KvCacheView> layers_;
};

// Root mean square of the difference to softmax in double over that of the values, of the last row.
double error_of(const Cache& cache, const Shape& shape, const float* q, const float* out, int32_t depth) {
  double error = 0, size = 0;
  for (int32_t head = 0; head < shape.heads; ++head) {
    const int32_t kv = head / (shape.heads / shape.kv_heads);
    std::vector<double> exact(static_cast<size_t>(shape.dim));
    double total = 0;
    for (int32_t p = 0; p < depth; ++p) {
      double dot = 0;
      for (int32_t i = 0; i < shape.dim; ++i) dot += double{q[head * shape.dim + i]} * cache.key(p, kv, i);
      const double weight = std::exp(dot / std::sqrt(double(shape.dim)));
      total += weight;
      for (int32_t i = 0; i < shape.dim; ++i) exact[static_cast<size_t>(i)] += weight * cache.value(p, kv, i);
    }
    for (int32_t i = 0; i < shape.dim; ++i) {
      const double e = exact[static_cast<size_t>(i)] / total, d = out[head * shape.dim + i] - e;
      error += d * d;
      size += e * e;
    }
  }
  return std::sqrt(error / size);
}

struct Limits {
  double bandwidth, f32;
};

bool run_case(ops::Ops& device, const Shape& shape, ElementType type, int32_t depth, int32_t n_rows, double budget,
              const Limits& limits) {
  const Cache cache(device, shape, type, depth);
  const auto cols = static_cast<size_t>(shape.heads * shape.dim);
  auto q = random_floats(static_cast<size_t>(n_rows) * cols, 3);
  std::vector<float> out(q.size());
  const ops::SequenceRows rows{0, n_rows, Position{depth - n_rows}, cache.table()};
  const ops::AttentionParams params{.n_heads = shape.heads, .scale = 1 / std::sqrt(float(shape.dim)), .sinks = {}};
  double best = 1e30;
  const double start = seconds();
  for (size_t i = 0; i < 3 || seconds() - start < budget; ++i) {
    const double begin = seconds();
    device.attention(Cache::tensor(q, n_rows, cols), cache.layer(i), {&rows, 1}, params,
                     Cache::tensor(out, n_rows, cols));
    best = std::min(best, seconds() - begin);
  }
  const size_t last = static_cast<size_t>(n_rows - 1) * cols;
  const double error = error_of(cache, shape, q.data() + last, out.data() + last, depth);
  const double pairs = double(n_rows) * (depth - n_rows) + double(n_rows) * (n_rows + 1) / 2;
  const double gflops = 4 * pairs * double(cols) / best / 1e9, gbps = double(cache.bytes()) / best / 1e9;
  fmt::print(
      "{:>3}x{}x{:<4} {:5} {:>6} deep {:>4} rows {:9.3f} ms {:7.1f} GB/s {:5.1f} % {:7.0f} GFLOP/s {:5.1f} %\n",
      shape.heads, shape.kv_heads, shape.dim, info(type).name, depth, n_rows, best * 1e3, gbps,
      100 * gbps / limits.bandwidth, gflops, 100 * gflops / limits.f32);
  const double allowed = type == ElementType::kF32 ? 1e-5 : type == ElementType::kQ8_0 ? 2e-2 : 2e-3;
  if (error < allowed) return true;
  fmt::print("DIFFERS FROM THE ORACLE by {}\n", error);
  return false;
}

struct Settings {
  int threads = 0;  // 0: all
  double seconds = 0.4;
  std::vector<std::string> heads{"32x8x64", "32x8x128"}, types{"F16", "Q8_0"};
  std::vector<int> depths{512, 8192, 32768}, rows{1, 512};
};

void add_options(CLI::App& app, Settings& s) {
  const CLI::Range at_least_one(1.0, 1e9);
  app.add_option("--threads", s.threads, "0: all")->check(CLI::NonNegativeNumber);
  app.add_option("--seconds", s.seconds, "per case")->check(CLI::PositiveNumber);
  app.add_option("--heads", s.heads, "query heads x key-value heads x their dimensions")
      ->delimiter(',')
      ->check(shape_of(3))
      ->capture_default_str();
  app.add_option("--depths", s.depths, "positions in the cache")
      ->delimiter(',')
      ->check(at_least_one)
      ->capture_default_str();
  app.add_option("--rows", s.rows, "of one sequence, the last of them at the depth")
      ->delimiter(',')
      ->check(at_least_one)
      ->capture_default_str();
  app.add_option("--types", s.types, "of the cache")
      ->delimiter(',')
      ->check(element_type_name())
      ->capture_default_str();
}

int run(const Settings& settings) {
  auto device = ops::make_cpu_ops({.threads = settings.threads});
  ThreadPool pool(settings.threads);
  const Limits limits{read_bandwidth_gbps(pool, uint64_t{512} << 20), f32_peak_gflops() * pool.size()};
  fmt::print("{}; limits: {:.1f} GB/s read, {:.0f} GFLOP/s f32\n", device->description(), limits.bandwidth,
             limits.f32);
  bool all_agree = true;
  for (const auto& text : settings.heads) {
    const auto parts = sizes_of(text);
    const Shape shape{static_cast<int>(parts[0]), static_cast<int>(parts[1]), static_cast<int>(parts[2])};
    for (const auto& type : settings.types) {
      for (const int depth : settings.depths) {
        for (const int rows : settings.rows) {
          all_agree &= run_case(*device, shape, find_element_type(type)->type, depth, std::min(rows, depth),
                                settings.seconds, limits);
        }
      }
    }
  }
  return all_agree ? 0 : 1;
}

}  // namespace
}  // namespace exo::bench

int main(int argc, char** argv) {
  using namespace exo::bench;
  return parse_and_run<Settings>(
      argc, argv, "Attention of the CPU device, checked against the oracle, then timed: best of many", add_options,
      run);
}
