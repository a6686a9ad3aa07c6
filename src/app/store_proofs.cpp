// The part of StoreFiles that proves weights: whether the own copy is the one that counts, and what others need to
// know of it.

#include <algorithm>
#include <future>

#include "app/store_files.h"
#include "base/log.h"
#include "cluster/content.h"
#include "store/content_proof.h"
#include "store/piece_check.h"

namespace exo::app {

// Who is known to have other weights under the same header is no source.
StoreFiles::Situation StoreFiles::situation(const std::string& fingerprint) const {
  Situation now{cluster_->self().id, cluster_->content(fingerprint), {}, {}, {}};
  for (const auto& member : cluster_->members()) {
    now.names[member.id] = member.name;
    for (const auto& offer : member.models) {
      if (offer.facts.fingerprint != fingerprint) continue;
      now.name = offer.facts.name;
      const bool differs =
          !offer.content_root.empty() && !now.pin.root.empty() && offer.content_root != now.pin.root;
      if (member.id != now.self && !differs) now.sources.push_back(member.id);
    }
  }
  return now;
}

StoreFiles::Situation StoreFiles::ask_situation(const std::string& fingerprint) const {
  std::promise<Situation> answer;
  loop_.post([&] { answer.set_value(situation(fingerprint)); });
  return answer.get_future().get();
}

Status StoreFiles::check_own(const std::string& fingerprint, const formats::GgufFile& file, const Chooser& choose,
                             const model::LoadProgress& progress) {
  const Situation now = ask_situation(fingerprint);
  const bool is_origin = now.pin.origin == now.self || !now.pin.is_set();
  if (is_origin && now.pin.root.empty()) return {};
  const std::string own_root = store_.content_root(fingerprint);
  if (!now.pin.root.empty() && own_root == now.pin.root) return {};
  Status right;
  if (!now.pin.root.empty() && !own_root.empty()) {
    right = fail(ErrorCode::kCorrupt, "other weights");
  } else {
    EXO_TRY(const auto stored, store_.find_fingerprint(fingerprint));
    EXO_TRY(const auto wanted, choose(file, stored.layout));
    right = compare_own(now, fingerprint, wanted, progress);
  }
  if (right || right.error().code != ErrorCode::kCorrupt) return right;
  const auto name = now.names.find(now.pin.origin);
  return fail(
      ErrorCode::kCorrupt,
      "the own copy of {} has the same header as that of {}, whose copy counts, but other weights: it is not "
      "used",
      now.name, name == now.names.end() ? now.pin.origin.short_hex() : name->second);
}

Status StoreFiles::compare_own(const Situation& now, const std::string& fingerprint, const store::RangeSet& wanted,
                               const model::LoadProgress& progress) {
  const auto source = store_.file_source(fingerprint);
  if (source == nullptr) return fail(ErrorCode::kNotFound, "{} is not here any more", now.name);
  const uint64_t total = source->layout().total_bytes();
  const auto own = [&](uint64_t piece) -> Result<net::Digest> {
    EXO_TRY(const auto hashes, source->piece_hashes(piece, 1));
    return hashes.front();
  };
  const auto pieces = store::pieces_of(wanted);
  uint64_t done = 0, goal = 0;
  for (const uint64_t piece : pieces) goal += store::piece_range(piece, total).size();
  const auto count = [&](uint64_t bytes) { return !progress || progress(done += bytes, goal); };
  store::ContentProof proof(connector_, {fingerprint, now.name, total, now.pin, now.sources});
  if (const Status established = proof.establish(); !established) {
    // Nobody here has the list of hashes. This device can make its own, which has the right root or not.
    if (now.pin.root.empty()) return established;
    goal = total;
    for (uint64_t piece = 0; piece < store::piece_count(total); ++piece) {
      EXO_CHECK_OK(own(piece));
      if (!count(store::piece_range(piece, total).size())) return fail(ErrorCode::kCancelled, "cancelled");
    }
    if (store_.content_root(fingerprint) == now.pin.root) return {};
    return fail(ErrorCode::kCorrupt, "other weights");
  }
  EXO_TRY(const auto differing, store::differing_pieces(pieces, total, own, proof, count));
  if (differing.empty()) return {};
  return fail(ErrorCode::kCorrupt, "other weights");
}

// Models of which another device has a copy, or that others compute with.
void StoreFiles::hash_for_others(bool gently, std::function<void()> told) {
  told_ = std::move(told);
  const auto& self = cluster_->self();
  std::set<std::string> others;
  for (const auto& member : cluster_->members()) {
    if (member.id == self.id) continue;
    for (const auto& offer : member.models) others.insert(offer.facts.fingerprint);
    for (const auto& stage : member.stages) others.insert(stage.fingerprint);
  }
  std::set<std::string> wanted;
  for (const auto& offer : self.models) {
    if (offer.complete && offer.content_root.empty() && others.contains(offer.facts.fingerprint))
      wanted.insert(offer.facts.fingerprint);
  }
  hasher_->want(std::move(wanted), gently);
}

std::vector<std::string> StoreFiles::confirm_parts() {
  std::vector<std::string> differing;
  for (const auto& stored : store_.models()) {
    if (stored.complete) continue;
    const auto part = store::PartialFile::open(store_.shards_dir(), stored.fingerprint);
    if (!part || (*part)->manifest()) continue;
    const Situation now = ask_situation(stored.fingerprint);
    if (now.pin.root.empty()) continue;
    store::ContentProof proof(connector_,
                              {stored.fingerprint, stored.name, stored.total_bytes(), now.pin, now.sources});
    if (!proof.establish()) continue;
    const auto manifest = proof.manifest();
    bool same = true;
    for (uint64_t piece = 0; piece < manifest->pieces(); ++piece) {
      const auto checked = (*part)->checked(piece);
      same = same && (!checked || *checked == manifest->hash(piece));
    }
    if (const Status kept = (*part)->keep_manifest(manifest->bytes()); !kept)
      log_warning("store", "{}", kept.error().message);
    if (!same) differing.push_back(stored.fingerprint);
  }
  return differing;
}

}  // namespace exo::app
