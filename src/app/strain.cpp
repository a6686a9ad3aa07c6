#include "app/strain.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "app/live_view.h"
#include "base/format.h"

namespace exo::app {
namespace {

constexpr uint64_t kLeastFloor = uint64_t{128} << 20, kMostFloor = uint64_t{1} << 30;
constexpr double kStallPercent = 33, kEmptyPercent = 10, kChargedPercent = 15;

std::string first_line(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

uint64_t meminfo_bytes(const std::filesystem::path& path, std::string_view name) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line))
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10) * 1024;
  return 0;
}

// "full avg10=0.00 avg60=…"
double stall_percent(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string line;
  constexpr std::string_view kBegin = "full avg10=";
  while (std::getline(file, line))
    if (line.starts_with(kBegin)) return std::strtod(line.c_str() + kBegin.size(), nullptr);
  return 0;
}

// The device's own batteries; those of mice and headsets have the scope "Device".
void read_batteries(const std::filesystem::path& folder, StrainReading& reading) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (first_line(entry.path() / "type") != "Battery" || first_line(entry.path() / "scope") == "Device") continue;
    const auto capacity = first_line(entry.path() / "capacity");
    if (capacity.empty()) continue;
    const double percent = std::strtod(capacity.c_str(), nullptr);
    reading.battery_percent = std::max(reading.battery_percent.value_or(0), percent);
    reading.discharging = reading.discharging || first_line(entry.path() / "status") == "Discharging";
  }
}

}  // namespace

StrainReading read_strain(const std::filesystem::path& root) {
  StrainReading reading;
  reading.memory_total_bytes = meminfo_bytes(root / "proc/meminfo", "MemTotal:");
  reading.memory_available_bytes = meminfo_bytes(root / "proc/meminfo", "MemAvailable:");
  reading.memory_stall_percent = stall_percent(root / "proc/pressure/memory");
  read_batteries(root / "sys/class/power_supply", reading);
  return reading;
}

std::string StrainJudge::judge(const StrainReading& reading, net::TimePoint now) {
  const uint64_t total = reading.memory_total_bytes, available = reading.memory_available_bytes;
  const uint64_t floor = std::clamp(total / 50, kLeastFloor, kMostFloor);
  const bool stalls = reading.memory_stall_percent >= kStallPercent && available < total / 10;
  const bool low = total > 0 && (available < floor || stalls);
  const bool well = total == 0 || (available >= 2 * floor && !stalls);
  if (!low) low_since_.reset();
  if (low && !low_since_) low_since_ = now;
  if (!well) well_since_.reset();
  if (well && !well_since_) well_since_ = now;
  if (low_since_ && now - *low_since_ >= kMemoryPatience) memory_low_ = true;
  if (well_since_ && now - *well_since_ >= kMemoryRelief) memory_low_ = false;

  const double percent = reading.battery_percent.value_or(100);
  if (reading.discharging && percent < kEmptyPercent) battery_low_ = true;
  if (!reading.discharging || percent >= kChargedPercent) battery_low_ = false;

  if (memory_low_)
    return fmt::format("its memory is nearly gone: {} of {} left", human_bytes(available), human_bytes(total));
  if (battery_low_) return fmt::format("its battery is nearly empty: {:.0f} %", percent);
  return {};
}

}  // namespace exo::app
