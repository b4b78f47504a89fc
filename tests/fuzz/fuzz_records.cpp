// Any bytes as any key or record of the index: what decodes must be what encode writes, byte for byte.
#include <cstdint>
#include <iterator>
#include <string_view>

#include "registry/keys.h"
#include "registry/records.h"
#include "tests/fuzz/property.h"

namespace berth::registry {
namespace {

template <class Record>
void try_record(std::string_view bytes) {
  const Result<Record> record = decode<Record>(bytes);
  require(!record || encode(*record) == bytes, "a record that decodes is what encode writes");
}

template <class Key>
void try_key(std::string_view bytes) {
  const Result<Key> key = Key::decode(bytes);
  require(!key || key->encode() == bytes, "a key that decodes is what encode writes");
}

using Try = void (*)(std::string_view);
constexpr Try kTries[] = {
    try_record<FormatRecord>,
    try_record<CounterRecord>,
    try_record<UptimeRecord>,
    try_record<LogStartRecord>,
    try_record<RepositoryBinding>,
    try_record<RepositoryRecord>,
    try_record<ObjectRecord>,
    try_record<PlaceRecord>,
    try_record<LinkRecord>,
    try_record<EmptyRecord>,
    try_record<ManifestRecord>,
    try_record<EdgeRecord>,
    try_record<ReferrerRecord>,
    try_record<TagRecord>,
    try_record<LeftoverRecord>,
    try_record<TagLogRecord>,
    try_record<UsageRecord>,
    try_record<ProjectUsageRecord>,
    try_record<PullsRecord>,
    try_record<ChangeRecord>,
    try_key<RepositoryNameKey>,
    try_key<RepositoryKey>,
    try_key<CatalogKey>,
    try_key<ObjectKey>,
    try_key<PlaceKey>,
    try_key<ContentKey>,
    try_key<LinkKey>,
    try_key<HolderKey>,
    try_key<ManifestKey>,
    try_key<EdgeKey>,
    try_key<ChildKey>,
    try_key<ReferrerKey>,
    try_key<TagKey>,
    try_key<TagOfKey>,
    try_key<TagIndexKey>,
    try_key<LeftoverKey>,
    try_key<TagLogKey>,
    try_key<DueKey>,
    try_key<ReapKey>,
    try_key<UsageKey>,
    try_key<ProjectUsageKey>,
    try_key<PullsKey>,
};

}  // namespace
}  // namespace berth::registry

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  berth::registry::kTries[data[0] % std::size(berth::registry::kTries)](bytes.substr(1));
  return 0;
}
