#include "app/device_profile.h"

#include <sys/utsname.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include "app/device_measurement.h"
#include "app/version.h"
#include "base/log.h"

namespace exo::app {
namespace json = boost::json;

namespace {

constexpr double kMonthSeconds = 30.0 * 24 * 3600;

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

int32_t threads_of(const NodeOptions& options) {
  return options.threads != 0 ? options.threads
                              : std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// What the rates belong to.
std::string hardware_key(const NodeOptions& options) {
  return fmt::format("{}|{}|{} GiB|{}", processor_name(), threads_of(options), memory_total_bytes() >> 30,
                     kVersion);
}

struct KeptRates {
  DeviceRates rates;
  double measured_at = 0;  // seconds since 1970; 0: measured quickly
};

double number(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  json::error_code error;
  const double result = value != nullptr && value->is_number() ? value->to_number<double>(error) : 0;
  return !error && result >= 0 && result < 1e18 ? result : 0;
}

std::optional<KeptRates> read_kept(const NodeOptions& options) {
  std::ifstream file(options.data_dir / "device.json");
  const std::string source((std::istreambuf_iterator<char>(file)), {});
  json::error_code error;
  const auto document = json::parse(source, error);
  const auto* object = error ? nullptr : document.if_object();
  const auto* key = object == nullptr ? nullptr : object->if_contains("key");
  if (key == nullptr || *key != json::value(hardware_key(options))) return std::nullopt;
  KeptRates kept;
  kept.measured_at = number(*object, "measured_at");
  kept.rates.memory_bandwidth_bytes_per_s = number(*object, "memory_bandwidth_bytes_per_s");
  kept.rates.int8_ops_per_s = number(*object, "int8_ops_per_s");
  kept.rates.f32_flops_per_s = number(*object, "f32_flops_per_s");
  kept.rates.disk_bytes_per_s = number(*object, "disk_bytes_per_s");
  const auto* formats = object->if_contains("formats");
  if (formats != nullptr && formats->is_object()) {
    for (const auto& format : formats->as_object()) {
      const auto* fields = format.value().if_object();
      if (fields == nullptr || kept.rates.formats.size() >= 64) continue;
      kept.rates.formats.push_back({std::string(format.key()).substr(0, 64), number(*fields, "stream_bytes_per_s"),
                                    number(*fields, "ops_per_s"), number(*fields, "few_rows_ops_per_s")});
    }
  }
  if (kept.rates.memory_bandwidth_bytes_per_s <= 0) return std::nullopt;
  return kept;
}

void keep(const NodeOptions& options, const KeptRates& kept) {
  json::object formats;
  for (const auto& rate : kept.rates.formats) {
    formats[rate.weight_type] = json::object{{"stream_bytes_per_s", rate.stream_bytes_per_s},
                                             {"ops_per_s", rate.ops_per_s},
                                             {"few_rows_ops_per_s", rate.few_rows_ops_per_s}};
  }
  const json::object document{{"key", hardware_key(options)},
                              {"measured_at", kept.measured_at},
                              {"memory_bandwidth_bytes_per_s", kept.rates.memory_bandwidth_bytes_per_s},
                              {"int8_ops_per_s", kept.rates.int8_ops_per_s},
                              {"f32_flops_per_s", kept.rates.f32_flops_per_s},
                              {"disk_bytes_per_s", kept.rates.disk_bytes_per_s},
                              {"formats", std::move(formats)}};
  std::error_code ignored;
  std::filesystem::create_directories(options.data_dir, ignored);
  const auto path = options.data_dir / "device.json", draft = options.data_dir / "device.json.new";
  std::ofstream(draft) << json::serialize(document) << "\n";
  std::filesystem::rename(draft, path, ignored);
  if (ignored) log_warning("node", "cannot keep {}: {}", path.string(), ignored.message());
}

wire::DeviceProfile profile_with(const NodeOptions& options, const DeviceRates& rates) {
  wire::DeviceProfile profile;
  utsname names{};
  uname(&names);
  profile.os = names.sysname;
  profile.arch = names.machine;
  profile.processor = processor_name();
  profile.threads = threads_of(options);
  profile.memory_total_bytes = memory_total_bytes();
  profile.memory_budget_bytes = memory_budget_bytes(options);
  profile.memory_bandwidth_bytes_per_s = rates.memory_bandwidth_bytes_per_s;
  profile.int8_ops_per_s = rates.int8_ops_per_s;
  profile.f32_flops_per_s = rates.f32_flops_per_s;
  profile.disk_bytes_per_s = rates.disk_bytes_per_s;
  profile.format_rates = rates.formats;
  return profile;
}

}  // namespace

wire::DeviceProfile device_profile(const NodeOptions& options) {
  auto kept = read_kept(options);
  if (!kept) {
    kept = KeptRates{measure_quickly(threads_of(options)), 0};
    keep(options, *kept);
  }
  return profile_with(options, kept->rates);
}

bool profile_is_stale(const NodeOptions& options) {
  const auto kept = read_kept(options);
  const double age = kept ? seconds_now() - kept->measured_at : 0;
  return !kept || kept->measured_at == 0 || age > kMonthSeconds || age < 0;
}

wire::DeviceProfile measure_device(const NodeOptions& options, const std::function<bool()>& cancelled) {
  const KeptRates kept{measure_thoroughly(threads_of(options), options.data_dir, cancelled), seconds_now()};
  if (cancelled() || kept.rates.memory_bandwidth_bytes_per_s <= 0) return device_profile(options);
  keep(options, kept);
  return profile_with(options, kept.rates);
}

uint64_t memory_budget_bytes(const NodeOptions& options) {
  if (options.memory_bytes != 0) return options.memory_bytes;
  const uint64_t free = memory_available_bytes() + memory_own_bytes();
  return std::min(free, memory_total_bytes()) / 10 * 9;
}

}  // namespace exo::app
