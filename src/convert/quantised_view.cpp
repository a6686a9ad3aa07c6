#include "convert/quantised_view.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/thread_pool.h"
#include "formats/gguf_writer.h"
#include "kernels/dequantize.h"
#include "kernels/quantize.h"

namespace exo::convert {
namespace {

using formats::GgufFile;
using formats::GgufWriter;
using formats::TensorView;

// Which revision of the quantisers made a view: nodes that would make different bytes must not take each other's
// for the same model.
constexpr uint32_t kQuantiserRevision = 1;
constexpr uint64_t kRowsAtOnce = 16;  // read from the source

constexpr ElementType kTypes[] = {
    ElementType::kQ8_0,  ElementType::kQ6_K, ElementType::kQ5_K, ElementType::kQ5_1,   ElementType::kQ5_0,
    ElementType::kQ4_K,  ElementType::kQ4_1, ElementType::kQ4_0, ElementType::kIQ4_XS, ElementType::kIQ4_NL,
    ElementType::kMXFP4, ElementType::kQ3_K, ElementType::kQ2_K, ElementType::kBF16,   ElementType::kF16};

bool is_plain(ElementType type) {
  return type == ElementType::kF32 || type == ElementType::kF16 || type == ElementType::kBF16;
}

double bits_per_weight(ElementType type) { return 8.0 * info(type).block_bytes / info(type).block_elements; }

// Matrices that many or all tokens go through. The rest is small, and some of it decides much.
bool is_weight(const TensorView& tensor) {
  constexpr std::string_view kKept[] = {"norm",       "ffn_gate_inp", "position_embd", "token_types",
                                        "ssm_conv1d", "rope_",        "exp_probs",     "attn_sinks",
                                        "cls.",       "time_mix",     "shortconv.conv"};
  return tensor.shape[1] > 1 && tensor.name.ends_with(".weight") &&
         std::ranges::none_of(kKept, [&](auto part) { return tensor.name.find(part) != std::string::npos; });
}

bool whole_blocks(const TensorView& tensor, ElementType type) {
  return row_bytes(type, static_cast<uint64_t>(tensor.shape[0])).has_value();
}

// The format of blocks of 32 that is nearest to one of 256.
ElementType smaller_blocks(ElementType type) {
  switch (type) {
    using enum ElementType;
    case kQ2_K:
    case kQ3_K:
    case kIQ4_XS:
      return kIQ4_NL;
    case kQ4_K:
      return kQ5_0;
    case kQ5_K:
      return kQ5_1;
    default:
      return kQ8_0;
  }
}

bool is_head(const GgufFile& file, const TensorView& tensor) {
  return tensor.name == "output.weight" ||
         (tensor.name == "token_embd.weight" && file.find_tensor("output.weight") == nullptr);
}

// What becomes of a tensor when `type` is asked for. `instead`: its rows do not fit what it should be.
struct Choice {
  ElementType type;
  bool instead = false;
};

Choice choose(const GgufFile& file, const TensorView& tensor, ElementType type) {
  if (!is_weight(tensor) || !is_plain(tensor.type)) return {tensor.type};
  const bool is_coarse = bits_per_weight(type) < bits_per_weight(ElementType::kQ6_K);
  const auto wanted = is_coarse && is_head(file, tensor) ? ElementType::kQ6_K : type;
  auto best = whole_blocks(tensor, wanted) ? wanted : smaller_blocks(wanted);
  if (!whole_blocks(tensor, best) || bits_per_weight(best) > bits_per_weight(tensor.type)) best = tensor.type;
  return {best, !whole_blocks(tensor, wanted)};
}

// Threads that one conversion at a time may have; others go without.
class Helpers {
 public:
  void for_rows(int64_t count, RangeTask task) {
    constexpr int64_t kWorthIt = 4;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || count < kWorthIt) return task(0, count, 0);
    if (!pool_) pool_.emplace(0);
    pool_->parallel_for(count, std::max<int64_t>(1, count / (8 * pool_->size())), task);
  }

 private:
  std::mutex mutex_;
  std::optional<ThreadPool> pool_;
};

// A tensor in another number format, converted when read.
class ConvertedContent final : public formats::TensorContent {
 public:
  ConvertedContent(const TensorView& source, ElementType type, std::shared_ptr<Helpers> helpers)
      : source_(source),
        type_(type),
        helpers_(std::move(helpers)),
        row_bytes_(*row_bytes(type, static_cast<uint64_t>(source.shape[0]))) {}

  Status read(uint64_t offset, std::span<std::byte> out) const override {
    if (out.empty()) return {};
    const uint64_t first = offset / row_bytes_, last = (offset + out.size() - 1) / row_bytes_;
    std::mutex mutex;
    Status result;
    helpers_->for_rows(static_cast<int64_t>(last - first + 1), [&](int64_t begin, int64_t end, int) {
      auto status = convert(first + static_cast<uint64_t>(begin), first + static_cast<uint64_t>(end), offset, out);
      const std::lock_guard lock(mutex);
      if (!status && result) result = std::move(status);
    });
    return result;
  }

 private:
  // Rows [begin, end), as far as they lie in the bytes from `offset` that `out` takes.
  Status convert(uint64_t begin, uint64_t end, uint64_t offset, std::span<std::byte> out) const {
    const auto cols = static_cast<size_t>(source_.shape[0]);
    const uint64_t source_row = *row_bytes(source_.type, cols);
    std::vector<std::byte> packed(source_row * kRowsAtOnce), quantised(row_bytes_);
    std::vector<float> numbers(cols);
    for (uint64_t row = begin; row < end; ++row) {
      const uint64_t in_batch = (row - begin) % kRowsAtOnce;
      if (in_batch == 0) {
        const auto batch = std::span(packed).first(std::min(kRowsAtOnce, end - row) * source_row);
        EXO_CHECK_OK(source_.read(row * source_row, batch));
      }
      kernels::dequantize_row(source_.type, packed.data() + in_batch * source_row, numbers.data(),
                              static_cast<int64_t>(cols));
      if (!std::ranges::all_of(numbers, [](float x) { return std::isfinite(x); })) {
        return fail(ErrorCode::kCorrupt, "tensor '{}' has a weight in row {} that is no finite number",
                    source_.name, row);
      }
      kernels::quantize_row(type_, numbers.data(), quantised.data(), static_cast<int64_t>(cols));
      const uint64_t at = row * row_bytes_, from = std::max(at, offset);
      const uint64_t to = std::min(at + row_bytes_, offset + out.size());
      std::memcpy(out.data() + (from - offset), quantised.data() + (from - at), to - from);
    }
    return {};
  }

  const TensorView source_;
  const ElementType type_;
  const std::shared_ptr<Helpers> helpers_;
  const uint64_t row_bytes_;
};

// ggml's number for files that are mostly of one format; nullopt where it has none.
std::optional<uint32_t> file_type(ElementType type) {
  switch (type) {
    using enum ElementType;
    case kF16:
      return 1;
    case kQ4_0:
      return 2;
    case kQ4_1:
      return 3;
    case kQ8_0:
      return 7;
    case kQ5_0:
      return 8;
    case kQ5_1:
      return 9;
    case kQ2_K:
      return 10;
    case kQ3_K:
      return 12;
    case kQ4_K:
      return 14;
    case kQ5_K:
      return 16;
    case kQ6_K:
      return 18;
    case kIQ4_NL:
      return 25;
    case kIQ4_XS:
      return 30;
    case kBF16:
      return 32;
    case kMXFP4:
      return 38;
    default:
      return std::nullopt;
  }
}

// The metadata of `file`, without what says how the bytes lie in its files.
GgufWriter copy_metadata(const GgufFile& file, std::span<const std::string_view> replaced = {}) {
  GgufWriter writer;
  for (const auto& entry : file.raw_metadata()) {
    const bool of_layout = entry.key.starts_with("split.") || entry.key == "general.alignment";
    if (!of_layout && std::ranges::find(replaced, entry.key) == replaced.end()) {
      writer.copy(entry.key, entry.type_and_value);
    }
  }
  return writer;
}

void add_tensor(GgufWriter& writer, const TensorView& tensor, ElementType type) {
  const auto shape = std::span(tensor.shape).first(static_cast<size_t>(std::max(tensor.n_dimensions, 1)));
  writer.add_tensor(tensor.name, type, {shape.begin(), shape.end()});
}

// `source` with each tensor in the format that `type_of` says; `writer` has the metadata.
template <typename TypeOf>
Result<GgufFile> view_in(const std::shared_ptr<const GgufFile>& source, GgufWriter writer, const TypeOf& type_of) {
  const auto helpers = std::make_shared<Helpers>();
  std::vector<GgufFile::Body> bodies;
  for (const auto& tensor : source->tensors()) {
    const ElementType to = type_of(tensor);
    add_tensor(writer, tensor, to);
    if (to == tensor.type) {
      bodies.push_back({tensor.data, tensor.content});
    } else {
      bodies.push_back({{}, std::make_shared<ConvertedContent>(tensor, to, helpers)});
    }
  }
  return GgufFile::assemble(writer.header(), std::move(bodies), source);
}

}  // namespace

bool is_quantisable(const GgufFile& file, ElementType type) {
  return std::ranges::any_of(file.tensors(),
                             [&](const TensorView& t) { return choose(file, t, type).type != t.type; });
}

Result<ElementType> parse_quantised_type(std::string_view name) {
  const auto* type = find_element_type(name);
  if (type != nullptr && std::ranges::find(kTypes, type->type) != std::end(kTypes)) return type->type;
  std::string known;
  for (const auto each : kTypes) known += (known.empty() ? "" : ", ") + std::string(info(each).name);
  return fail(ErrorCode::kInvalidArgument, "weights cannot be quantised to '{}'; there are: {}", name.substr(0, 32),
              known);
}

Result<GgufFile> quantised_view(GgufFile file, ElementType type) {
  if (!kernels::can_quantize(type)) {
    return fail(ErrorCode::kInvalidArgument, "weights cannot be quantised to {}", info(type).name);
  }
  const auto source = std::make_shared<const GgufFile>(std::move(file));
  constexpr std::string_view kReplaced[] = {"general.file_type", "general.quantization_version", "exo.quantiser"};
  GgufWriter writer = copy_metadata(*source, kReplaced);
  if (const auto number = file_type(type)) writer.set("general.file_type", *number);
  writer.set("general.quantization_version", uint32_t{2});
  writer.set("exo.quantiser", kQuantiserRevision);
  std::map<ElementType, int> instead;
  auto view = view_in(source, std::move(writer), [&](const TensorView& tensor) {
    const auto [to, is_instead] = choose(*source, tensor, type);
    if (is_instead) ++instead[to];
    return to;
  });
  for (const auto& [other, count] : instead) {
    log_warning("convert", "{} of the tensors have rows that are no whole number of blocks: they are {} instead",
                count, info(other).name);
  }
  return view;
}

Result<GgufFile> widened_view(GgufFile file) {
  const auto source = std::make_shared<const GgufFile>(std::move(file));
  constexpr std::string_view kReplaced[] = {"general.file_type"};
  GgufWriter writer = copy_metadata(*source, kReplaced);
  writer.set("general.file_type", uint32_t{0});  // all F32
  return view_in(source, std::move(writer), [](const TensorView& tensor) {
    return kernels::can_dequantize(tensor.type) ? ElementType::kF32 : tensor.type;
  });
}

Status write_gguf(const GgufFile& file, const std::filesystem::path& path,
                  const std::function<void(uint64_t, uint64_t)>& progress,
                  const std::function<void(GgufWriter&)>& more_keys) {
  GgufWriter writer = copy_metadata(file);
  if (more_keys) more_keys(writer);
  uint64_t done = 0, total = 0;
  for (const auto& tensor : file.tensors()) {
    add_tensor(writer, tensor, tensor.type);
    total += tensor.bytes();
  }
  return writer.write(path, [&](const GgufWriter::Tensor& tensor, uint64_t offset, std::span<std::byte> piece) {
    auto status = file.find_tensor(tensor.name)->read(offset, piece);
    if (!status) return Status(std::unexpected(std::move(status).error().with_context(tensor.name)));
    done += piece.size();
    if (progress) progress(done, total);
    return Status();
  });
}

}  // namespace exo::convert
