// Matrix products of the CPU device by format and shape: first checked against the oracle, then timed (best of
// many), printed as GB/s of weights and Gop/s with the distance to what the machine reaches on the spot (--help).

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "bench_options.h"
#include "bench_run.h"
#include "kernels/dequantize.h"
#include "kernels/kernel_table.h"
#include "kernels/quantize.h"
#include "machine_limits.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::bench {
namespace {

struct Settings {
  int threads = 0;  // 0: all
  double seconds = 0.4;
  std::string kernels;
  std::vector<std::string> types{"Q4_0",    "Q4_1",    "Q5_0",   "Q5_1",   "Q8_0",  "Q2_K",  "Q3_K",
                                 "Q4_K",    "Q5_K",    "Q6_K",   "IQ4_XS", "MXFP4", "NVFP4", "A4_BF16",
                                 "A5_BF16", "A8_BF16", "A8_F16", "F16",    "BF16",  "F32"};
  std::vector<std::string> shapes{"2048x2048", "8192x2048", "2048x8192", "4096x14336", "128256x2048"};
  std::vector<int64_t> rows{1, 2, 4, 8, 16, 128, 512};
  std::string output = "table";
  bool json() const { return output == "json"; }  // one object per line
};

void add_options(CLI::App& app, Settings& s) {
  const CLI::Range at_least_one(1.0, 1e9);
  app.add_option("--threads", s.threads, "0: all")->check(CLI::NonNegativeNumber);
  app.add_option("--seconds", s.seconds, "per case")->check(CLI::PositiveNumber);
  app.add_option("--kernels", s.kernels, "another instruction set's than the fastest");
  app.add_option("--types", s.types, "element types")
      ->delimiter(',')
      ->check(element_type_name())
      ->capture_default_str();
  app.add_option("--shapes", s.shapes, "ROWSxCOLS of the weight")
      ->delimiter(',')
      ->check(shape_of(2))
      ->capture_default_str();
  app.add_option("--rows", s.rows, "of activations")->delimiter(',')->check(at_least_one)->capture_default_str();
  app.add_option("--output", s.output)->check(CLI::IsMember({"table", "json"}))->capture_default_str();
}

// Random bits with scales near 2^-10, so that values of every format are finite and of ordinary size.
void fill_weights(ElementType type, std::vector<std::byte>& bytes, int64_t cols) {
  if (kernels::can_quantize(type)) {
    const auto row = static_cast<size_t>(*row_bytes(type, static_cast<uint64_t>(cols)));
    const size_t distinct = std::min<size_t>(bytes.size() / row, 64);
    const auto x = random_floats(distinct * static_cast<size_t>(cols), 1);
    for (size_t r = 0; r < distinct; ++r) {
      kernels::quantize_row(type, x.data() + r * static_cast<size_t>(cols), bytes.data() + r * row, cols);
    }
    for (size_t at = distinct * row; at < bytes.size(); at += distinct * row) {
      std::memcpy(bytes.data() + at, bytes.data(), std::min(distinct * row, bytes.size() - at));
    }
    return;
  }
  const auto& t = info(type);
  std::mt19937 generator(7);
  for (auto& b : bytes) b = static_cast<std::byte>(generator());
  for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(t.block_bytes)) {
    const uint16_t half[2] = {0x1400, 0x9400}, bfloat[2] = {0x3a80, 0xba80};  // scale and minimum
    const uint8_t e4m3[4] = {8, 9, 10, 11};
    switch (type) {
      using enum ElementType;
      case kA4_BF16:
      case kA5_BF16:
      case kA8_BF16:
        std::memcpy(bytes.data() + at, bfloat, sizeof bfloat);
        break;
      case kA8_F16:
        std::memcpy(bytes.data() + at, half, sizeof half);
        break;
      case kNVFP4:
        std::memcpy(bytes.data() + at, e4m3, sizeof e4m3);
        break;
      default:
        std::memcpy(bytes.data() + at, half, sizeof half[0]);
    }
  }
}

// Against double arithmetic on the dequantised weights; the share of 8-bit activations in the error is what is
// allowed.
bool agrees(ops::Ops& device, const ops::Weight& w, ElementType type, int64_t n) {
  auto x = random_floats(static_cast<size_t>(n * w.cols), 3);
  std::vector<float> y(static_cast<size_t>(n * w.rows)), row(static_cast<size_t>(w.cols));
  const ops::Linear linear{&w, {y.data(), n, w.rows, w.rows}};
  device.matmul({x.data(), n, w.cols, w.cols}, {&linear, 1});
  const auto bytes = static_cast<int64_t>(*row_bytes(type, static_cast<uint64_t>(w.cols)));
  double error = 0.0, size = 0.0;
  for (int64_t r = 0; r < w.rows; r += std::max<int64_t>(1, w.rows / 61)) {
    kernels::dequantize_row(type, w.data + r * bytes, row.data(), w.cols);
    for (int64_t t = 0; t < n; t += 1 + n / 17) {
      double exact = 0.0;
      for (int64_t k = 0; k < w.cols; ++k)
        exact += double{row[static_cast<size_t>(k)]} * x[static_cast<size_t>(t * w.cols + k)];
      const double d = y[static_cast<size_t>(t * w.rows + r)] - exact;
      error += d * d;
      size += exact * exact;
    }
  }
  return std::sqrt(error / size) < (kernels::is_quantized(type) ? 0.012 : 1e-5);
}

struct Limits {
  double bandwidth, int8, f32;
};

// `copies` of the weight follow each other in memory; each call takes the next, so that none is in a cache.
void run_case(ops::Ops& device, const ops::Weight& first, int64_t copies, ElementType type, int64_t n,
              const Settings& settings, const Limits& limits) {
  ops::Weight w = first;
  auto x = random_floats(static_cast<size_t>(n * w.cols), 5);
  std::vector<float> y(static_cast<size_t>(n * w.rows));
  const ops::Linear linear{&w, {y.data(), n, w.rows, w.rows}};
  const double one =
      static_cast<double>(*row_bytes(type, static_cast<uint64_t>(w.cols))) * static_cast<double>(w.rows);
  double best = 1e30;
  const double start = seconds();
  for (int i = 0; i < 3 || seconds() - start < settings.seconds; ++i) {
    w.data = first.data + (i % copies) * static_cast<int64_t>(one);
    const double begin = seconds();
    device.matmul({x.data(), n, w.cols, w.cols}, {&linear, 1});
    best = std::min(best, seconds() - begin);
  }
  const double gops = 2.0 * static_cast<double>(w.rows * w.cols * n) / best / 1e9;
  const double peak = kernels::is_quantized(type) ? limits.int8 : limits.f32;
  if (settings.json()) {
    fmt::print(R"({{"type":"{}","weight_rows":{},"cols":{},"rows":{},"ms":{:.4f},"gbps":{:.2f},"of_read":{:.3f},)"
               R"("gops":{:.1f},"of_peak":{:.3f}}})"
               "\n",
               info(type).name, w.rows, w.cols, n, best * 1e3, one / best / 1e9,
               one / best / 1e9 / limits.bandwidth, gops, gops / peak);
    return;
  }
  fmt::print("{:8} {:>7}x{:<6} {:>4} rows {:9.3f} ms {:7.1f} GB/s {:5.1f} % {:8.0f} Gop/s {:5.1f} %\n",
             info(type).name, w.rows, w.cols, n, best * 1e3, one / best / 1e9,
             100 * one / best / 1e9 / limits.bandwidth, gops, 100 * gops / peak);
}

int run(const Settings& settings) {
  const auto tables = kernels::all_kernels();
  if (!settings.kernels.empty() &&
      std::ranges::find(tables, settings.kernels, &kernels::KernelTable::name) == tables.end()) {
    fmt::print(stderr, "no kernels '{}' here; there are:\n", settings.kernels);
    for (const auto& table : tables) fmt::print(stderr, "  {}\n", table.name);
    return 2;
  }
  auto device = ops::make_cpu_ops({.threads = settings.threads, .kernels = settings.kernels});
  if (!settings.json()) fmt::print("{}\n", device->description());
  ThreadPool pool(settings.threads), single(1);
  const int threads = pool.size();
  Limits limits{read_bandwidth_gbps(pool, uint64_t{512} << 20), int8_peak_gops() * threads,
                f32_peak_gflops() * threads};
  const double of_one = read_bandwidth_gbps(single, uint64_t{512} << 20);
  if (settings.json()) {
    fmt::print(R"({{"threads":{},"read_gbps":{:.1f},"read_gbps_of_one":{:.1f},"int8_gops":{:.0f},)"
               R"("f32_gflops":{:.0f}}})"
               "\n",
               threads, limits.bandwidth, of_one, limits.int8, limits.f32);
  } else {
    fmt::print(
        "limits of {} threads: {:.1f} GB/s read (one thread {:.1f}), {:.0f} Gop/s int8, {:.0f} GFLOP/s f32\n",
        threads, limits.bandwidth, of_one, limits.int8, limits.f32);
  }
  bool all_agree = true;
  for (const auto& shape : settings.shapes) {
    const auto sizes = sizes_of(shape);
    const int64_t rows = sizes[0], cols = sizes[1];
    for (const auto& name : settings.types) {
      const ElementType type = find_element_type(name)->type;
      // Enough copies of the matrix that none of it is in a cache when its turn comes again.
      const auto one = *row_bytes(type, static_cast<uint64_t>(cols)) * static_cast<uint64_t>(rows);
      const auto copies = static_cast<int64_t>(std::max<uint64_t>(1, (uint64_t{192} << 20) / one));
      std::vector<std::byte> bytes(one * static_cast<uint64_t>(copies));
      fill_weights(type, bytes, cols);
      auto check = *device->load({type, rows, cols, 1, std::span(bytes).first(one)});
      for (const int64_t n : settings.rows) {
        const bool ok = agrees(*device, check, type, n);
        all_agree &= ok;
        if (!ok) fmt::print(stderr, "{} {} {} rows: DIFFERS FROM THE ORACLE\n", name, shape, n);
        run_case(*device, check, copies, type, n, settings, limits);
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
      argc, argv, "Matrix products of the CPU device, checked against the oracle, then timed: best of many",
      add_options, run);
}
