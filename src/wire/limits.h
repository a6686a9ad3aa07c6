#pragma once
// The most of everything a frame may hold. The sender checks them as well as the receiver, which does so before it
// allocates. A frame over a limit is corrupt: the link is closed.

#include <cstddef>
#include <cstdint>

namespace exo::wire {

inline constexpr size_t kMaxEnvelopeBytes = size_t{16} << 20;
inline constexpr size_t kMaxTensorBytes = size_t{64} << 20;  // 1024 rows of 16384 f32
inline constexpr size_t kMaxFrameBytes = 4 + kMaxEnvelopeBytes + kMaxTensorBytes;
// FlatBuffers let many references share one object; this bounds what they unfold to as C++ values.
inline constexpr uint64_t kMaxDecodedBytes = uint64_t{64} << 20;
inline constexpr uint32_t kMaxTables = 400'000;
inline constexpr uint32_t kMaxTableDepth = 16;

inline constexpr size_t kMaxPingBytes = size_t{1} << 20;
inline constexpr size_t kMaxNameBytes = 512;   // names, addresses, fingerprints, versions
inline constexpr size_t kMaxTextBytes = 4096;  // errors and reasons

// per Gossip or GossipDigest
inline constexpr size_t kMaxNodes = 4096;
inline constexpr size_t kMaxInstances = 4096;
// per node
inline constexpr size_t kMaxAddresses = 64;
inline constexpr size_t kMaxModels = 1024;
inline constexpr size_t kMaxStages = 1024;  // also per instance
inline constexpr size_t kMaxLinks = 4096;
inline constexpr size_t kMaxMembers = 64;  // per stage of an instance
inline constexpr size_t kMaxFormatRates = 64;
// per instance: stages take memory for these when they are loaded
inline constexpr int32_t kMaxContextTokens = 1 << 24;
inline constexpr int32_t kMaxInstanceSequences = 8192;
// per model
inline constexpr size_t kMaxLayers = 4096;
inline constexpr size_t kMaxWeightFormats = 64;
// per request
inline constexpr size_t kMaxRequestTokens = size_t{1} << 20;
inline constexpr size_t kMaxStopTokens = 1024;
inline constexpr size_t kMaxLogitBias = 65536;
inline constexpr size_t kMaxAlternatives = 256;
// per step
inline constexpr size_t kMaxSequences = 8192;
inline constexpr size_t kMaxStepTokens = 65536;
inline constexpr size_t kMaxDraftTokens = 64;          // per sequence
inline constexpr size_t kMaxBlocks = size_t{1} << 20;  // per sequence

// per TraceReply
inline constexpr size_t kMaxTraceEvents = 1024;
inline constexpr size_t kMaxTraceSteps = 16384;
inline constexpr size_t kMaxTraceRequests = 1024;

// of caches that are carried over
inline constexpr size_t kMaxOfferedBlocks = 65536;              // per import
inline constexpr size_t kMaxOfferPartBlocks = 2048;             // per CacheOffer, CacheFill, CacheRead
inline constexpr size_t kMaxOfferPartTokens = 65536;            // per CacheOffer
inline constexpr size_t kMaxCachePieceBytes = size_t{1} << 20;  // per CachePiece

}  // namespace exo::wire
