#include "app/cluster_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

#include "app/options.h"
#include "cluster/cost_model.h"

namespace exo::app {
namespace json = boost::json;

namespace {

constexpr size_t kMostDevices = 1024;

NodeId imagined_id(size_t index) {
  NodeId id;
  id.bytes[0] = static_cast<uint8_t>(index >> 8);
  id.bytes[1] = static_cast<uint8_t>(index);
  id.bytes[31] = 1;
  return id;
}

Result<std::string> json_of_toml(const std::filesystem::path& path) {
  try {
    const auto table = toml::parse_file(path.string());
    std::stringstream text;
    text << toml::json_formatter(table);
    return text.str();
  } catch (const toml::parse_error& error) {
    return fail(ErrorCode::kInvalidArgument, "{}, line {}: {}", path.string(), error.source().begin.line,
                error.description());
  }
}

Result<json::value> read_document(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) return fail(ErrorCode::kNotFound, "cannot read {}", path.string());
  std::string source((std::istreambuf_iterator<char>(file)), {});
  const size_t first = source.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || source[first] != '{') {
    EXO_TRY(source, json_of_toml(path));
  }
  json::error_code error;
  auto document = json::parse(source, error);
  if (error) return fail(ErrorCode::kInvalidArgument, "{}: {}", path.string(), error.message());
  return document;
}

// One table of the file, whose keys are taken one by one; what is left over is an error.
class Fields {
 public:
  Fields(const std::filesystem::path& path, std::string where, const json::value& value)
      : path_(path), where_(std::move(where)), object_(value.if_object()) {}

  Status check(std::initializer_list<std::string_view> known) const {
    if (object_ == nullptr) return wrong("must be a table");
    for (const auto& field : *object_) {
      if (std::find(known.begin(), known.end(), std::string_view(field.key())) == known.end()) {
        return wrong(
            fmt::format("'{}' is not known; there are: {}", std::string_view(field.key()), fmt::join(known, ", ")));
      }
    }
    return {};
  }
  // More than zero and finite.
  Result<double> number(std::string_view name, double otherwise) const {
    const auto* value = object_->if_contains(name);
    if (value == nullptr) return otherwise;
    json::error_code error;
    const double result = value->is_number() ? value->to_number<double>(error) : 0;
    if (error || !(result > 0) || result > 1e15) {
      return std::unexpected(wrong(fmt::format("'{}' must be a number above zero", name)).error());
    }
    return result;
  }
  Result<std::string> text(std::string_view name) const {
    const auto* value = object_->if_contains(name);
    if (value == nullptr || !value->is_string() || value->as_string().empty()) {
      return std::unexpected(wrong(fmt::format("needs '{}', a text", name)).error());
    }
    return std::string(value->as_string());
  }
  const json::array* list(std::string_view name) const {
    const auto* value = object_->if_contains(name);
    return value == nullptr ? nullptr : value->if_array();
  }
  const json::value* table(std::string_view name) const { return object_->if_contains(name); }
  Status wrong(const std::string& what) const {
    return fail(ErrorCode::kInvalidArgument, "{}: {} {}", path_.string(), where_, what);
  }

 private:
  const std::filesystem::path& path_;
  const std::string where_;
  const json::object* object_;
};

Result<cluster::PlacementDevice> read_device(const Fields& fields, size_t index) {
  EXO_CHECK_OK(
      fields.check({"name", "memory", "bandwidth_gb_s", "int8_tops", "f32_tflops", "disk_mb_s", "overhead_us"}));
  cluster::PlacementDevice device;
  device.id = imagined_id(index);
  EXO_TRY(device.name, fields.text("name"));
  EXO_TRY(const auto memory, fields.text("memory"));
  EXO_TRY(const uint64_t bytes, parse_bytes(memory));
  auto& profile = device.profile;
  profile.memory_total_bytes = profile.memory_budget_bytes = bytes;
  EXO_TRY(const double bandwidth, fields.number("bandwidth_gb_s", 50));
  EXO_TRY(const double int8, fields.number("int8_tops", 1));
  EXO_TRY(const double f32, fields.number("f32_tflops", 0.5));
  EXO_TRY(const double disk, fields.number("disk_mb_s", cluster::kAssumedDiskRate / 1e6));
  EXO_TRY(const double overhead, fields.number("overhead_us", cluster::kAssumedOverheadS * 1e6));
  profile.memory_bandwidth_bytes_per_s = bandwidth * 1e9;
  profile.int8_ops_per_s = int8 * 1e12;
  profile.f32_flops_per_s = f32 * 1e12;
  profile.disk_bytes_per_s = disk * 1e6;
  profile.step_overhead_s = overhead / 1e6;
  return device;
}

struct LinkRates {
  double round_trip_s = 0.5e-3, bytes_per_s = 118e6;  // of Gigabit Ethernet through one switch
};

Result<LinkRates> read_rates(const Fields& fields, const LinkRates& otherwise) {
  EXO_TRY(const double round_trip, fields.number("round_trip_ms", otherwise.round_trip_s * 1e3));
  EXO_TRY(const double gbit, fields.number("gbit_s", otherwise.bytes_per_s * 8 / 1e9));
  return LinkRates{round_trip / 1e3, gbit * 1e9 / 8};
}

Result<size_t> device_named(const Fields& fields, const std::map<std::string, size_t>& names,
                            const json::value& value) {
  const auto* text = value.if_string();
  const auto found = text == nullptr ? names.end() : names.find(std::string(*text));
  if (found == names.end()) return std::unexpected(fields.wrong("'between' must name two devices").error());
  return found->second;
}

}  // namespace

Result<ImaginedCluster> read_cluster_file(const std::filesystem::path& path) {
  EXO_TRY(const auto document, read_document(path));
  const Fields file(path, "the file", document);
  EXO_CHECK_OK(file.check({"devices", "link", "links"}));
  const auto* devices = file.list("devices");
  if (devices == nullptr || devices->empty() || devices->size() > kMostDevices) {
    return std::unexpected(file.wrong("needs a list of up to 1024 'devices'").error());
  }
  ImaginedCluster cluster;
  std::map<std::string, size_t> names;
  for (const auto& entry : *devices) {
    const size_t index = cluster.devices.size();
    const Fields fields(path, fmt::format("device {}", index + 1), entry);
    EXO_TRY(auto device, read_device(fields, index));
    if (!names.emplace(device.name, index).second) return std::unexpected(fields.wrong("has a name twice").error());
    cluster.devices.push_back(std::move(device));
  }
  LinkRates usual;
  if (const auto* link = file.table("link")) {
    const Fields fields(path, "link", *link);
    EXO_CHECK_OK(fields.check({"round_trip_ms", "gbit_s"}));
    EXO_TRY(usual, read_rates(fields, usual));
  }
  std::map<std::pair<size_t, size_t>, LinkRates> special;
  if (const auto* links = file.list("links")) {
    for (const auto& entry : *links) {
      const Fields fields(path, "links", entry);
      EXO_CHECK_OK(fields.check({"between", "round_trip_ms", "gbit_s"}));
      const auto* pair = fields.list("between");
      if (pair == nullptr || pair->size() != 2)
        return std::unexpected(fields.wrong("needs 'between' = [A, B]").error());
      EXO_TRY(const size_t a, device_named(fields, names, (*pair)[0]));
      EXO_TRY(const size_t b, device_named(fields, names, (*pair)[1]));
      EXO_TRY(special[std::minmax(a, b)], read_rates(fields, usual));
    }
  }
  for (size_t a = 0; a < cluster.devices.size(); ++a) {
    for (size_t b = a + 1; b < cluster.devices.size(); ++b) {
      const auto found = special.find({a, b});
      const LinkRates rates = found == special.end() ? usual : found->second;
      cluster.links.push_back(
          {cluster.devices[a].id, cluster.devices[b].id, rates.round_trip_s, rates.bytes_per_s});
    }
  }
  return cluster;
}

}  // namespace exo::app
