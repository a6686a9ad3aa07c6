#include "app/device_measurement.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "app/system_memory.h"
#include "base/element_type.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::app {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Product {
  ElementType type;
  int64_t rows = 0, columns = 0;  // of the weights
  int64_t batch = 1;              // rows of the input
  int repetitions = 5;
};

// The best of the repetitions: bytes of weights read per second (one input row), or operations per second.
double best_rate(ops::Ops& device, const Product& product) {
  const auto& [type, rows, columns, batch, repetitions] = product;
  const uint64_t bytes = row_bytes(type, static_cast<uint64_t>(columns)).value_or(0) * static_cast<uint64_t>(rows);
  auto storage = device.allocate(bytes);
  auto input = device.allocate(static_cast<size_t>(batch * columns) * sizeof(float));
  auto output = device.allocate(static_cast<size_t>(batch * rows) * sizeof(float));
  if (bytes == 0 || !storage || !input || !output) return 0;
  // Some small numbers in every format: all zero would be a fair time too, but pages must be real.
  std::memset((*storage)->data(), 0x11, bytes);
  auto* x_data = reinterpret_cast<float*>((*input)->data());
  std::fill(x_data, x_data + batch * columns, 0.5f);
  auto weight = device.load({type, rows, columns, 1, {(*storage)->data(), bytes}});
  if (!weight) return 0;
  ops::Tensor x{x_data, batch, columns, columns};
  ops::Tensor y{reinterpret_cast<float*>((*output)->data()), batch, rows, rows};
  const ops::Linear projection{&*weight, y};
  const double work = batch == 1 ? static_cast<double>(bytes) : 2.0 * static_cast<double>(rows * columns * batch);
  double best = 0;
  for (int i = 0; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    device.matmul(x, {&projection, 1});
    best = std::max(best, work / std::max(seconds_since(start), 1e-9));
  }
  return best;
}

// Operations per second of the rows that a product has beyond the first, which takes `one_row_s`.
double few_rows_rate(ops::Ops& device, const Product& product, double one_row_s) {
  const double row_ops = 2.0 * static_cast<double>(product.rows * product.columns);
  const double rate = best_rate(device, product);
  if (rate <= 0) return 0;
  const double few_rows_s = static_cast<double>(product.batch) * row_ops / rate;
  const double further = static_cast<double>(product.batch - 1) * row_ops;
  return further / std::max(few_rows_s - one_row_s, 0.01 * few_rows_s);
}

constexpr ElementType kFormats[] = {ElementType::kQ8_0, ElementType::kQ4_0, ElementType::kQ4_K,  ElementType::kQ6_K,
                                    ElementType::kF16,  ElementType::kBF16, ElementType::kMXFP4, ElementType::kF32};
constexpr size_t kDiskBytes = size_t{64} << 20, kDiskBlock = size_t{4} << 20, kPage = 4096;

struct FreeDeleter {
  void operator()(void* data) const { std::free(data); }
};

}  // namespace

DeviceRates measure_quickly(int32_t threads) {
  const auto device = ops::make_cpu_ops({threads});
  DeviceRates rates;
  rates.memory_bandwidth_bytes_per_s = best_rate(*device, {ElementType::kQ8_0, 16384, 2048, 1, 3});
  rates.int8_ops_per_s = best_rate(*device, {ElementType::kQ8_0, 1024, 2048, 64, 3});
  rates.f32_flops_per_s = best_rate(*device, {ElementType::kF32, 512, 1024, 32, 3});
  return rates;
}

DeviceRates measure_thoroughly(int32_t threads, const std::filesystem::path& folder,
                               const std::function<bool()>& cancelled) {
  const auto device = ops::make_cpu_ops({threads});
  // Large enough to miss the caches, small enough for a device with little memory.
  const uint64_t bytes = memory_available_bytes() < (uint64_t{1} << 30) ? (32u << 20) : (128u << 20);
  DeviceRates rates;
  for (const ElementType type : kFormats) {
    if (cancelled()) return rates;
    constexpr int64_t kColumns = 4096, kFew = wire::FormatRate::kFewRows;
    const uint64_t row = row_bytes(type, kColumns).value_or(1);
    wire::FormatRate rate{std::string(info(type).name), 0, 0, 0};
    rate.stream_bytes_per_s = best_rate(*device, {type, static_cast<int64_t>(bytes / row), kColumns, 1, 5});
    rate.ops_per_s = best_rate(*device, {type, 2048, 2048, 128, 3});
    rate.few_rows_ops_per_s = few_rows_rate(*device, {type, static_cast<int64_t>(bytes / row), kColumns, kFew, 3},
                                            static_cast<double>(bytes) / rate.stream_bytes_per_s);
    // The best that any format reads is what memory gives.
    rates.memory_bandwidth_bytes_per_s = std::max(rates.memory_bandwidth_bytes_per_s, rate.stream_bytes_per_s);
    if (type == ElementType::kQ8_0) rates.int8_ops_per_s = rate.ops_per_s;
    if (type == ElementType::kF32) rates.f32_flops_per_s = rate.ops_per_s;
    if (rate.stream_bytes_per_s > 0 && rate.ops_per_s > 0) rates.formats.push_back(std::move(rate));
  }
  if (!cancelled()) rates.disk_bytes_per_s = measure_disk(folder);
  return rates;
}

double measure_disk(const std::filesystem::path& folder) {
  std::error_code error;
  const auto space = std::filesystem::space(folder, error);
  if (error || space.available < 16 * kDiskBytes) return 0;
  auto path = (folder / "disk-test.XXXXXX").string();
  const int file = mkstemp(path.data());
  if (file < 0) return 0;
  const std::unique_ptr<void, FreeDeleter> block(std::aligned_alloc(kPage, kDiskBlock));
  bool good = block != nullptr;
  if (good) std::memset(block.get(), 0x5a, kDiskBlock);
  for (size_t done = 0; good && done < kDiskBytes; done += kDiskBlock) {
    good = write(file, block.get(), kDiskBlock) == static_cast<ssize_t>(kDiskBlock);
  }
  good = good && fsync(file) == 0;
  close(file);
  double rate = 0;
#ifdef O_DIRECT
  const int direct = good ? open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC) : -1;
  if (direct >= 0) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t done = 0; good && done < kDiskBytes; done += kDiskBlock) {
      good = read(direct, block.get(), kDiskBlock) == static_cast<ssize_t>(kDiskBlock);
    }
    if (good) rate = static_cast<double>(kDiskBytes) / std::max(seconds_since(start), 1e-9);
    close(direct);
  }
#endif
  unlink(path.c_str());
  return rate;
}

}  // namespace exo::app
