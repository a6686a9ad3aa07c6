// Lists of hashes from peers and from the disk: what is taken is what was sent, and nothing else has its root.
#include <cstdlib>
#include <cstring>

#include "store/content_manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace exo;
  // The first bytes are the size of the model that the receiver knows.
  uint64_t total = 0;
  if (size < sizeof total) return 0;
  std::memcpy(&total, data, sizeof total);
  const auto given = std::as_bytes(std::span(data, size).subspan(sizeof total));
  const auto manifest = store::ContentManifest::parse({given.begin(), given.end()}, total);
  if (!manifest) return 0;
  if (manifest->bytes().size() != given.size() || manifest->pieces() != store::piece_count(total)) std::abort();
  std::vector<net::Digest> hashes;
  for (uint64_t piece = 0; piece < manifest->pieces(); ++piece) hashes.push_back(manifest->hash(piece));
  if (store::ContentManifest(total, hashes).root() != manifest->root()) std::abort();
  return 0;
}
