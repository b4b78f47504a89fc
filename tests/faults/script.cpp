#include "tests/faults/script.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "oci/digest.h"
#include "oci/name.h"
#include "registry/check.h"
#include "registry/keys.h"
#include "registry/records.h"

namespace berth::faults {
namespace {

using registry::Actor;
using registry::Registry;

constexpr std::string_view kA = "team/a";
constexpr std::string_view kB = "team/b";
constexpr std::size_t kSliceBytes = 16 << 10;
constexpr std::chrono::milliseconds kPatience{40};  // with the collection, which a failing disk may stop for good

struct BlobSpec {
  std::string_view name;
  std::size_t size;
};
// `config` is inline; the others are files.
constexpr BlobSpec kBlobs[] = {{"config", 300}, {"layer", 40'000}, {"chunked", 60'000}, {"lonely", 20'000}};

struct BlobContent {
  std::string bytes;
  oci::Digest digest;
};

const BlobContent& blob(std::string_view name) {
  static const std::map<std::string, BlobContent, std::less<>> all = [] {
    std::map<std::string, BlobContent, std::less<>> out;
    for (const BlobSpec& spec : kBlobs) {
      std::string bytes;
      while (bytes.size() < spec.size) bytes += std::string(spec.name) + ' ' + std::to_string(bytes.size()) + '\n';
      bytes.resize(spec.size);
      const oci::Digest digest = oci::sha256(bytes);
      out.emplace(spec.name, BlobContent{std::move(bytes), digest});
    }
    return out;
  }();
  return all.find(name)->second;
}

const std::string& blob_content(std::string_view name) { return blob(name).bytes; }
const oci::Digest& blob_digest(std::string_view name) { return blob(name).digest; }

std::string manifest_content(std::string_view name) {
  const std::string_view layer = name == "one" ? "layer" : "chunked";
  const auto descriptor = [](std::string_view type, std::string_view of) {
    return "{\"mediaType\":\"" + std::string(type) + "\",\"digest\":\"" + blob_digest(of).to_string() +
           "\",\"size\":" + std::to_string(blob_content(of).size()) + "}";
  };
  return "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":" +
         descriptor("application/vnd.oci.image.config.v1+json", "config") + ",\"layers\":[" +
         descriptor("application/vnd.oci.image.layer.v1.tar", layer) + "]}";
}

/// Of a manifest's content; empty for no manifest.
const std::vector<std::string_view>& manifest_names() {
  static const std::vector<std::string_view> names{"one", "two"};
  return names;
}

oci::RepositoryName repository(std::string_view name) { return oci::RepositoryName::parse(name).value(); }

registry::Buffer filled(registry::BufferPool& buffers, std::string_view bytes) {
  registry::Buffer buffer = buffers.acquire_now(bytes.size());
  std::memcpy(buffer.space().data(), bytes.data(), bytes.size());
  buffer.set_size(bytes.size());
  return buffer;
}

Task<void> append_all(World& world, registry::Upload& upload, std::string_view content) {
  while (!content.empty()) {
    const std::string_view slice = content.substr(0, kSliceBytes);
    content.remove_prefix(slice.size());
    registry::Buffer buffer = filled(world.buffers(), slice);
    BERTH_CO_CHECK(co_await upload.append(std::move(buffer)));
  }
  co_return Result<void>();
}

Task<void> push_blob(World& world, std::string_view repo, std::string_view name) {
  const std::string& content = blob_content(name);
  BERTH_CO_TRY(auto upload,
               co_await world.registry().start_upload(Actor{}, repository(repo), oci::Algorithm::sha256, true));
  BERTH_CO_CHECK(co_await append_all(world, *upload, content));
  co_return co_await upload->commit(blob_digest(name));
}

/// As a client that sends chunks: three requests that each take hold of the session anew.
Task<void> push_chunked(World& world, std::string_view repo, std::string_view name) {
  const std::string& content = blob_content(name);
  const std::size_t half = content.size() / 2;
  std::string id;
  {
    BERTH_CO_TRY(auto upload,
                 co_await world.registry().start_upload(Actor{}, repository(repo), oci::Algorithm::sha256, false));
    id = upload->id();
  }
  {
    BERTH_CO_TRY(auto upload, co_await world.registry().claim_upload(Actor{}, repository(repo), id));
    BERTH_CO_CHECK(co_await append_all(world, *upload, std::string_view(content).substr(0, half)));
    BERTH_CO_CHECK(co_await upload->flush());
  }
  BERTH_CO_TRY(const std::uint64_t offset, co_await world.registry().upload_offset(Actor{}, repository(repo), id));
  if (offset != half) die("a session holds " + std::to_string(offset) + " bytes");
  BERTH_CO_TRY(auto upload, co_await world.registry().claim_upload(Actor{}, repository(repo), id));
  BERTH_CO_CHECK(co_await append_all(world, *upload, std::string_view(content).substr(half)));
  co_return co_await upload->commit(blob_digest(name));
}

Task<void> put_manifest(World& world, std::string_view repo, std::string_view name, std::string_view tag) {
  registry::PutManifestRequest request{
      repository(repo), oci::Tag::parse(tag).value(), "", manifest_content(name), {}, {}, {}, true};
  BERTH_CO_TRY(auto done, co_await world.registry().put_manifest(Actor{}, std::move(request)));
  if (done.digest != oci::sha256(manifest_content(name))) die("a manifest got another digest");
  co_return Result<void>();
}

Task<void> mount(World& world, std::string_view from, std::string_view to, std::string_view name) {
  std::optional<oci::RepositoryName> source = repository(from);
  BERTH_CO_TRY(const bool mounted,
               co_await world.registry().mount_blob(Actor{}, repository(to), blob_digest(name), std::move(source),
                                                    registry::Visibility::everything()));
  if (!mounted) co_return make_error(ErrorCode::blob_unknown, "nothing to mount");
  co_return Result<void>();
}

// ---- the steps ----

using Effects = std::map<std::string, std::string>;
struct Step {
  std::string_view name;
  Task<void> (*run)(World&);
  Effects effects;  ///< what the step makes true when it is done
};

Task<void> push_config(World& w) { return push_blob(w, kA, "config"); }
Task<void> push_layer(World& w) { return push_blob(w, kA, "layer"); }
Task<void> push_in_chunks(World& w) { return push_chunked(w, kA, "chunked"); }
Task<void> push_lonely(World& w) { return push_blob(w, kA, "lonely"); }
Task<void> tag_one(World& w) { return put_manifest(w, kA, "one", "v1"); }
Task<void> mount_layer(World& w) { return mount(w, kA, kB, "layer"); }
Task<void> mount_config(World& w) { return mount(w, kA, kB, "config"); }
Task<void> tag_mounted(World& w) { return put_manifest(w, kB, "one", "v1"); }
Task<void> overwrite_tag(World& w) { return put_manifest(w, kA, "two", "v1"); }
Task<void> tag_two(World& w) { return put_manifest(w, kA, "two", "v2"); }
Task<void> delete_mounted_tag(World& w) {
  co_return co_await w.registry().delete_tag(Actor{}, repository(kB), oci::Tag::parse("v1").value(),
                                             registry::Precondition{}, registry::TagSet::everything());
}
Task<void> delete_manifest(World& w) {
  co_return co_await w.registry().delete_manifest(Actor{}, repository(kA), oci::sha256(manifest_content("one")),
                                                  registry::Precondition{}, registry::TagSet::everything());
}
Task<void> delete_needed_blob(World& w) {
  co_return co_await w.registry().delete_blob(Actor{}, repository(kB), blob_digest("config"),
                                              registry::TagSet::everything());
}

const std::vector<Step>& steps() {
  static const std::vector<Step> all{
      {"push an inline blob", push_config, {{"blob team/a config", "config"}}},
      {"push a large blob", push_layer, {{"blob team/a layer", "layer"}}},
      {"push in chunks", push_in_chunks, {{"blob team/a chunked", "chunked"}}},
      {"push a manifest by tag", tag_one, {{"manifest team/a one", "one"}, {"tag team/a v1", "one"}}},
      {"mount a large blob", mount_layer, {{"blob team/b layer", "layer"}}},
      {"mount an inline blob", mount_config, {{"blob team/b config", "config"}}},
      {"push a manifest over mounts", tag_mounted, {{"manifest team/b one", "one"}, {"tag team/b v1", "one"}}},
      {"overwrite a tag", overwrite_tag, {{"manifest team/a two", "two"}, {"tag team/a v1", "two"}}},
      {"set a second tag", tag_two, {{"manifest team/a two", "two"}, {"tag team/a v2", "two"}}},
      {"push a blob that nothing will need", push_lonely, {{"blob team/a lonely", "lonely"}}},
      {"push a blob again", push_layer, {{"blob team/a layer", "layer"}}},
      {"delete a tag", delete_mounted_tag, {{"tag team/b v1", ""}}},
      {"delete a manifest", delete_manifest, {{"manifest team/a one", ""}}},
      {"delete a blob that a manifest needs", delete_needed_blob, {{"blob team/b config", ""}}},
      {"collect", nullptr, {}},
      {"push after the collection", push_lonely, {{"blob team/a lonely", "lonely"}}},
  };
  return all;
}

/// Answers that a client may get from a disk that fails, and what follows from an earlier step's failure.
bool is_clean(ErrorCode code) {
  switch (code) {
    case ErrorCode::io_error:
    case ErrorCode::storage_full:
    case ErrorCode::unavailable:
    case ErrorCode::blob_unknown:
    case ErrorCode::manifest_unknown:
    case ErrorCode::manifest_blob_unknown:
    case ErrorCode::upload_unknown:
    case ErrorCode::repository_unknown: return true;
    default: return false;
  }
}

// ---- what reads answer ----

std::string read_file(const storage::OpenBlob& file) {
  std::string content(file.size, '\0');
  const auto got =
      storage::posix_file_system().read_at(file.fd.get(), std::as_writable_bytes(std::span(content)), 0);
  return got.has_value() && *got == file.size ? content : "<unreadable>";
}

/// The name of what is there, empty for absent, a sentence in brackets for anything else.
std::string read_blob(World& world, std::string_view repo, std::string_view name) {
  const auto content = world.wait(world.registry().open_blob(Actor{}, repository(repo), blob_digest(name)));
  if (content.failed_with(ErrorCode::blob_unknown)) return "";
  if (!content.has_value()) return "<" + content.error().message + ": " + content.error().log_detail + ">";
  const std::string bytes = content->bytes ? *content->bytes : read_file(*content->file);
  return bytes == blob_content(name) ? std::string(name) : "<wrong bytes>";
}

std::string read_manifest(World& world, std::string_view repo, const oci::Reference& reference) {
  const auto answer = world.wait(world.registry().get_manifest(Actor{}, repository(repo), reference, false));
  if (answer.failed_with(ErrorCode::manifest_unknown)) return "";
  if (!answer.has_value()) return "<" + answer.error().message + ": " + answer.error().log_detail + ">";
  for (const std::string_view name : manifest_names()) {
    if ((*answer)->bytes == manifest_content(name)) return std::string(name);
  }
  return "<wrong bytes>";
}

std::string read(World& world, const std::string& key) {
  const std::size_t first = key.find(' '), second = key.find(' ', first + 1);
  const std::string kind = key.substr(0, first);
  const std::string repo = key.substr(first + 1, second - first - 1);
  const std::string name = key.substr(second + 1);
  if (kind == "blob") return read_blob(world, repo, name);
  if (kind == "manifest") return read_manifest(world, repo, oci::sha256(manifest_content(name)));
  return read_manifest(world, repo, oci::Tag::parse(name).value());
}

struct PlaceOf {
  oci::Digest digest;
  std::string file;  ///< empty: inline
};

std::vector<PlaceOf> places(const kv::Reader& reader, std::vector<std::string>& findings) {
  std::vector<PlaceOf> out;
  auto cursor = reader.scan(registry::family::objects, kv::prefix_range(registry::PlaceKey::prefix()));
  if (!cursor.has_value()) {
    findings.push_back("the places cannot be read");
    return out;
  }
  for (; (*cursor)->valid(); (*cursor)->next()) {
    const auto key = registry::PlaceKey::decode((*cursor)->key());
    const auto record = registry::decode<registry::PlaceRecord>((*cursor)->value());
    if (key.has_value() && record.has_value()) {
      out.push_back({key->digest, record->file});
    } else {
      findings.push_back("a place that does not decode");
    }
  }
  return out;
}

void check_places(World& world, std::vector<std::string>& findings) {
  const auto view = world.view();
  const kv::Reader& reader = view->reader(kv::Tier::any);
  for (const PlaceOf& place : places(reader, findings)) {
    std::string content;
    if (place.file.empty()) {
      const registry::ContentKey key{registry::ObjectKind::blob, place.digest};
      const auto found = reader.get(registry::family::bytes, key.encode());
      content = found.has_value() && found->has_value() ? **found : "<absent>";
    } else {
      const auto file = world.blobs().open(storage::Place{place.file});
      content = file.has_value() ? read_file(*file) : "<absent>";
    }
    if (oci::sha256(content) != place.digest) findings.push_back("no right bytes at the place " + place.file);
  }
}

}  // namespace

std::size_t step_count() { return steps().size(); }
std::string_view step_name(std::size_t step) { return steps()[step].name; }

void run_script(World& world, const std::function<void(std::size_t)>& begin,
                const std::function<void(std::size_t, StepEnd)>& end) {
  for (std::size_t i = 0; i < steps().size(); ++i) {
    begin(i);
    if (steps()[i].run == nullptr) {
      world.collect(kPatience);
      end(i, StepEnd::done);
      continue;
    }
    const Result<void> answer = world.wait(steps()[i].run(world));
    if (!answer.has_value() && !is_clean(answer.error().code)) {
      die(std::string(step_name(i)) + ": " + answer.error().message + ": " + answer.error().log_detail);
    }
    end(i, answer.has_value() ? StepEnd::done : StepEnd::failed);
  }
}

Expectation::Expectation() {
  for (const Step& step : steps()) {
    for (const auto& [key, value] : step.effects) possible_[key] = {""};
  }
}

void Expectation::apply(std::size_t step, StepEnd end) {
  const Step& taken = steps()[step];
  const bool done = end == StepEnd::done;
  // An answer of "failed" promises nothing either way: the change may have been made before the failure.
  for (const auto& [key, value] : taken.effects) {
    if (done) possible_[key].clear();
    possible_[key].insert(value);
  }
  if (taken.run == delete_manifest) {  // its tags go with it
    auto& tag = possible_["tag team/a v1"];
    if (tag.contains("one")) tag.insert("");
    if (done) tag.erase("one");
  }
  if (taken.run == nullptr) {
    // Blobs that no manifest of their repository surely needs may be gone, whether the collection came that far or not.
    const auto surely = [&](const std::string& key) { return !possible_[key].contains(""); };
    const bool a_two = surely("manifest team/a two"), b_one = surely("manifest team/b one");
    const std::set<std::string> kept = {a_two ? "blob team/a config" : "", a_two ? "blob team/a chunked" : "",
                                        b_one ? "blob team/b layer" : "", b_one ? "blob team/b config" : ""};
    for (auto& [key, values] : possible_) {
      if (key.starts_with("blob ") && !kept.contains(key)) values.insert("");
    }
  }
}

std::vector<std::string> check_world(World& world, const Possible& possible) {
  std::vector<std::string> findings;
  for (const auto& [key, values] : possible) {
    const std::string found = read(world, key);
    if (!values.contains(found)) findings.push_back(key + " is '" + found + "'");
  }
  const auto view = world.view();
  const auto rules = registry::check_index(view->reader(kv::Tier::any));
  if (rules.has_value()) {
    findings.insert(findings.end(), rules->begin(), rules->end());
  } else {
    findings.push_back("the index cannot be checked: " + rules.error().log_detail);
  }
  check_places(world, findings);
  return findings;
}

std::vector<std::string> check_nothing_left(World& world, const std::string& directory) {
  std::vector<std::string> findings;
  if (!world.collect(std::chrono::seconds(5))) findings.push_back("the collection did not come to an end");
  std::set<std::string> named;
  const auto view = world.view();
  for (const PlaceOf& place : places(view->reader(kv::Tier::any), findings)) named.insert(place.file);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory + "/blobs")) {
    if (entry.is_directory()) continue;
    const std::string name = std::filesystem::relative(entry.path(), directory + "/blobs").string();
    if (!named.contains(name)) findings.push_back("no record names the file " + name);
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory + "/uploads")) {
    findings.push_back("left in uploads: " + entry.path().filename().string());
  }
  return findings;
}

}  // namespace berth::faults
