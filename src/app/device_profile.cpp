#include "app/device_profile.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

#include "app/version.h"
#include "base/log.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::app {
namespace json = boost::json;

namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The value of "Name:   123 kB" in /proc/meminfo, in bytes; 0 when absent.
uint64_t meminfo(std::string_view name) {
  std::ifstream file("/proc/meminfo");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10) * 1024;
  }
  return 0;
}

// The container's limit; 0 when there is none.
uint64_t cgroup_limit() {
  const auto text = read_file("/sys/fs/cgroup/memory.max");
  if (text.empty() || text.starts_with("max")) return 0;
  return std::strtoull(text.c_str(), nullptr, 10);
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    const auto colon = line.find(": ");
    if (colon != std::string::npos && (line.starts_with("model name") || line.starts_with("Model")))
      return line.substr(colon + 2);
  }
  utsname names{};
  uname(&names);
  return names.machine;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A quantised matrix far larger than the caches, multiplied with one row: bytes of weights read per second. With
// many rows of a smaller one: arithmetic operations per second.
struct Rates {
  double bandwidth = 0, int8_ops = 0, f32_flops = 0;
};

double best_rate(ops::Ops& device, ElementType type, int64_t rows, int64_t cols, int64_t batch, bool count_bytes) {
  const uint64_t bytes = *row_bytes(type, cols) * rows;
  auto storage = device.allocate(bytes);
  auto input = device.allocate(batch * cols * sizeof(float));
  auto output = device.allocate(batch * rows * sizeof(float));
  if (!storage || !input || !output) return 0;
  auto weight = device.load({type, rows, cols, 1, {(*storage)->data(), bytes}});
  if (!weight) return 0;
  ops::Tensor x{reinterpret_cast<float*>((*input)->data()), batch, cols, cols};
  ops::Tensor y{reinterpret_cast<float*>((*output)->data()), batch, rows, rows};
  const ops::Linear projection{&*weight, y};
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    device.matmul(x, {&projection, 1});
    const double seconds = std::max(seconds_since(start), 1e-9);
    best = std::max(best, (count_bytes ? double(bytes) : 2.0 * rows * cols * batch) / seconds);
  }
  return best;
}

Rates measure(int32_t threads) {
  const auto device = ops::make_cpu_ops({threads});
  // Large enough to miss the caches, small enough for a device with little memory.
  const bool small = memory_available_bytes() < (1ull << 30);
  Rates rates;
  rates.bandwidth = best_rate(*device, ElementType::kQ8_0, small ? 16384 : 65536, 2048, 1, true);
  rates.int8_ops = best_rate(*device, ElementType::kQ8_0, 2048, 2048, 128, false);
  rates.f32_flops = best_rate(*device, ElementType::kF32, 1024, 1024, 64, false);
  return rates;
}

}  // namespace

uint64_t memory_total_bytes() {
  uint64_t total = meminfo("MemTotal:");
  if (total == 0) total = uint64_t(sysconf(_SC_PHYS_PAGES)) * uint64_t(sysconf(_SC_PAGESIZE));
  const uint64_t limit = cgroup_limit();
  return limit != 0 ? std::min(total, limit) : total;
}

uint64_t memory_available_bytes() {
  uint64_t available = meminfo("MemAvailable:");
  if (available == 0) available = memory_total_bytes() / 2;
  if (const uint64_t limit = cgroup_limit(); limit != 0) {
    const uint64_t used = std::strtoull(read_file("/sys/fs/cgroup/memory.current").c_str(), nullptr, 10);
    available = std::min(available, limit > used ? limit - used : 0);
  }
  return available;
}

wire::DeviceProfile device_profile(const NodeOptions& options) {
  wire::DeviceProfile profile;
  utsname names{};
  uname(&names);
  profile.os = names.sysname;
  profile.arch = names.machine;
  profile.processor = processor_name();
  profile.threads =
      options.threads != 0 ? options.threads : std::max(1, int32_t(std::thread::hardware_concurrency()));
  profile.memory_total_bytes = memory_total_bytes();
  // A tenth of what is free stays free, so that the owner's other programs do not suffer.
  profile.memory_budget_bytes =
      options.memory_bytes != 0 ? options.memory_bytes : memory_available_bytes() / 10 * 9;

  const auto cache = options.data_dir / "device.json";
  const auto key = fmt::format("{}|{}|{}", profile.processor, profile.threads, kVersion);
  json::error_code error;
  if (const auto cached = json::parse(read_file(cache), error); !error && cached.is_object()) {
    const auto& object = cached.as_object();
    auto number = [&](std::string_view name) {
      json::error_code number_error;
      const auto* value = object.if_contains(name);
      return value != nullptr ? value->to_number<double>(number_error) : 0.0;
    };
    const auto* cached_key = object.if_contains("key");
    if (cached_key != nullptr && *cached_key == json::value(key) && number("memory_bandwidth_bytes_per_s") > 0) {
      profile.memory_bandwidth_bytes_per_s = number("memory_bandwidth_bytes_per_s");
      profile.int8_ops_per_s = number("int8_ops_per_s");
      profile.f32_flops_per_s = number("f32_flops_per_s");
      return profile;
    }
  }
  const auto rates = measure(profile.threads);
  profile.memory_bandwidth_bytes_per_s = rates.bandwidth;
  profile.int8_ops_per_s = rates.int8_ops;
  profile.f32_flops_per_s = rates.f32_flops;
  std::error_code ignored;
  std::filesystem::create_directories(options.data_dir, ignored);
  std::ofstream(cache) << json::serialize(json::object{{"key", key},
                                                       {"memory_bandwidth_bytes_per_s", rates.bandwidth},
                                                       {"int8_ops_per_s", rates.int8_ops},
                                                       {"f32_flops_per_s", rates.f32_flops}})
                       << "\n";
  return profile;
}

}  // namespace exo::app
