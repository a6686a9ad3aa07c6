#pragma once
// What identifies a model: SHA-256, as 64 hex digits, over each file's header and size and over a sample of the
// weights, so that two trainings of one model are told apart. Who holds only parts cannot check the sample: it then
// identifies what the sender says it has.

#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"
#include "net/file_transfer.h"

namespace exo::store {

// Reads the headers through the source; the sample is the layout's.
Result<std::string> fingerprint_of(const net::FileSource& source, const net::FileLayout& layout);
// Of an assembled file: the same as that of the file it stands for.
Result<std::string> fingerprint_of(const formats::GgufFile& assembled, const net::FileLayout& layout);
// For FileLayout::sample; reads a few pieces of every file.
Result<std::string> sample_of(const net::FileSource& source);
Result<std::string> sample_of(const formats::GgufFile& assembled, const net::FileLayout& layout);

bool is_fingerprint(std::string_view text);  // 64 lower-case hex digits

// Sizes of a model's files. `first`: the path that `file` was opened from.
Result<net::FileLayout> layout_of(const formats::GgufFile& file, const std::filesystem::path& first);
// All files of a model, first one first: the parts of "x-00001-of-00003.gguf", else the path itself.
std::vector<std::filesystem::path> part_paths(const std::filesystem::path& first);

// A complete model on the disk. Opens every file now; reads of any thread.
Result<std::shared_ptr<const net::FileSource>> open_file_source(const std::filesystem::path& first,
                                                                net::FileLayout layout);
// A model that is made of other files when it is read. `open` gives it; it is called by the first read, on that
// thread, and must give a file of this layout. Reads of any thread.
std::shared_ptr<const net::FileSource> view_source(net::FileLayout layout,
                                                   std::function<Result<formats::GgufFile>()> open);
// Bytes that live as long as the program.
std::shared_ptr<const net::FileSource> memory_source(std::span<const std::byte> bytes, uint64_t header_bytes);

}  // namespace exo::store
