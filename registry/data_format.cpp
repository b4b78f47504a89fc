#include "registry/data_format.h"

#include <algorithm>

#include "registry/keys.h"
#include "registry/records.h"
#include "storage/kv/rocksdb_peek.h"

namespace berth::registry {

Result<DataFormats> read_data_formats(const std::filesystem::path& index) {
  const kv::Schema families = schema();
  BERTH_TRY(const kv::Peek peek, kv::peek_rocksdb(index, families[FormatKey::kFamily].name, FormatKey{}.encode()));
  DataFormats formats{.known = {kFormatMajor, kFormatMinor}, .there = {}, .foreign_family = false};
  formats.foreign_family = std::ranges::any_of(peek.families, [&families](const std::string& name) {
    return name != "default" && std::ranges::find(families, name, &kv::FamilySpec::name) == families.end();
  });
  if (peek.value) {
    BERTH_TRY(const FormatRecord record, decode<FormatRecord>(*peek.value));
    formats.there = {record.major, record.minor};
  }
  return formats;
}

}  // namespace berth::registry
