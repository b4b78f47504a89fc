#include "oci/manifest_reader.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/json_text.h"
#include "oci/media_type.h"

namespace berth::oci {
namespace {

constexpr std::uint64_t kSizeMax = std::numeric_limits<std::int64_t>::max();

enum class Type : std::uint8_t { null, boolean, integer, number, string, object, array, any };

struct KnownMember {
  std::string_view name;
  Member member;
  Type type;
};

constexpr KnownMember kRootMembers[] = {
    {"schemaVersion", Member::schema_version, Type::integer},
    {"mediaType", Member::media_type, Type::string},
    {"artifactType", Member::artifact_type, Type::string},
    {"config", Member::config, Type::object},
    {"layers", Member::layers, Type::array},
    {"manifests", Member::manifests, Type::array},
    {"blobs", Member::blobs, Type::array},
    {"subject", Member::subject, Type::object},
    {"annotations", Member::annotations, Type::object},
    {"fsLayers", Member::fs_layers, Type::any},
};

constexpr KnownMember kDescriptorMembers[] = {
    {"mediaType", Member::media_type, Type::string},
    {"digest", Member::digest, Type::string},
    {"size", Member::size, Type::integer},
    {"urls", Member::urls, Type::array},
    {"annotations", Member::annotations, Type::object},
    {"data", Member::data, Type::string},
    {"artifactType", Member::artifact_type, Type::string},
    {"platform", Member::platform, Type::object},
};

constexpr KnownMember kPlatformMembers[] = {
    {"os", Member::os, Type::string},
    {"os.version", Member::os_version, Type::string},
    {"architecture", Member::architecture, Type::string},
    {"variant", Member::variant, Type::string},
};

/// What a frame of the stack is.
enum class Where : std::uint8_t { root, descriptors, descriptor, annotations, platform, urls, skipped };

struct Frame {
  Where where = Where::skipped;
  bool is_object = false;
  const KnownMember* member = nullptr;  ///< the member being read, when it is a known one
  std::size_t index = 0;                ///< the element being read
  std::size_t keys_begin = 0;           ///< first of this object's keys in keys_
};

std::span<const KnownMember> members_of(Where where) {
  switch (where) {
    case Where::root:
      return kRootMembers;
    case Where::descriptor:
      return kDescriptorMembers;
    case Where::platform:
      return kPlatformMembers;
    default:
      return {};
  }
}

std::string_view describe(Type type) {
  switch (type) {
    case Type::integer:
      return "an integer";
    case Type::string:
      return "a string";
    case Type::object:
      return "an object";
    case Type::array:
      return "an array";
    default:
      return "something else";
  }
}

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Do the two differ by case only, as Go's decoder folds case? It takes U+017F for an s and U+212A for a k as well.
bool equals_folded(std::string_view key, std::string_view name) {
  std::size_t at = 0;
  while (!key.empty()) {
    char c = ascii_lower(key.front());
    std::size_t size = 1;
    if (key.starts_with("\u017f")) {
      c = 's';
      size = 2;
    } else if (key.starts_with("\u212a")) {
      c = 'k';
      size = 3;
    }
    if (at == name.size() || ascii_lower(name[at]) != c) return false;
    ++at;
    key.remove_prefix(size);
  }
  return at == name.size();
}

bool is_base64(std::string_view text) {
  if (text.size() % 4 != 0) return false;
  if (text.ends_with("==")) {
    text.remove_suffix(2);
  } else if (text.ends_with('=')) {
    text.remove_suffix(1);
  }
  const auto is_digit = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  };
  return std::all_of(text.begin(), text.end(), is_digit);
}

/// http or https, with a host, without userinfo or fragment. berth never fetches it; clients do.
bool is_layer_url(std::string_view url) {
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos) return false;
  const std::string_view scheme = url.substr(0, colon);
  const auto is_scheme = [scheme](std::string_view name) {
    return std::equal(scheme.begin(), scheme.end(), name.begin(), name.end(),
                      [](char left, char right) { return ascii_lower(left) == right; });
  };
  if (!is_scheme("http") && !is_scheme("https")) return false;
  // Blanks, control bytes and backslashes are read differently by different clients.
  const auto is_odd = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\' || c == '#';
  };
  if (std::any_of(url.begin(), url.end(), is_odd)) return false;
  const std::string_view rest = url.substr(colon + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  return !authority.empty() && authority.front() != ':' && authority.find('@') == std::string_view::npos;
}

/// The handler of nlohmann's SAX interface: each function returns whether to go on.
class Reader {
 public:
  Reader(const ManifestLimits& limits, bool read_blobs) : limits_(limits), read_blobs_(read_blobs) {}

  Result<ManifestDocument> take() && {
    if (error_) return std::move(*error_);
    return std::move(document_);
  }

  bool null() { return admit(Type::null) && step(); }
  bool boolean(bool) { return admit(Type::boolean) && step(); }
  // Called only for what is written with a minus sign: no known member takes that, -0 included.
  bool number_integer(std::int64_t) { return admit(Type::number) && step(); }
  bool number_unsigned(std::uint64_t value) { return admit(Type::integer) && take_integer(value) && step(); }
  // A fraction, an exponent, or an integer that does not fit.
  bool number_float(double, const std::string&) { return admit(Type::number) && step(); }
  bool string(std::string& value) { return admit(Type::string) && take_string(value) && step(); }
  bool binary(std::vector<std::uint8_t>&) { return fail("the document is not JSON"); }
  bool start_object(std::size_t) { return admit(Type::object) && open(Type::object); }
  bool start_array(std::size_t) { return admit(Type::array) && open(Type::array); }
  bool key(std::string& name);
  bool end_object();
  bool end_array() {
    frames_.pop_back();
    return step();
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return fail(fmt::format("the document is not valid JSON near byte {}", position));
  }

 private:
  bool fail(std::string message) {
    if (!error_) error_ = make_error(ErrorCode::manifest_invalid, std::move(message));
    return false;
  }
  bool fail_here(std::string_view what) {
    const std::string at = path();
    return fail(fmt::format("{} {}", at.empty() ? "the document" : at, what));
  }

  std::string path() const;
  bool admit(Type actual);
  bool open(Type type);
  Where inside(const Frame& parent, Type type) const;
  bool take_integer(std::uint64_t value);
  bool take_string(std::string& value);
  bool take_descriptor_string(std::string& value);
  bool finish_descriptor();
  bool check_keys(const Frame& frame);
  /// A value is complete.
  bool step() {
    if (!frames_.empty()) ++frames_.back().index;
    return true;
  }

  std::string_view key_text(std::pair<std::uint32_t, std::uint32_t> span) const {
    return std::string_view(key_bytes_).substr(span.first, span.second);
  }

  const ManifestLimits& limits_;
  const bool read_blobs_;
  ManifestDocument document_;
  Descriptor descriptor_;  ///< the one being read: descriptors do not nest
  std::size_t descriptors_ = 0;
  std::vector<Frame> frames_;
  // The keys of all open objects, to find duplicates exactly and in one sort an object.
  std::string key_bytes_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> keys_;
  std::optional<Error> error_;
};

/// "layers[3].size"; ends at the first member that is not a known one.
std::string Reader::path() const {
  std::string text;
  for (const Frame& frame : frames_) {
    if (frame.where == Where::descriptors || frame.where == Where::urls) {
      text += fmt::format("[{}]", frame.index);
    } else if (frame.member != nullptr) {
      if (!text.empty()) text += '.';
      text += frame.member->name;
    } else {
      break;
    }
  }
  return text;
}

/// Is a value of this type right where the reader stands?
bool Reader::admit(Type actual) {
  if (frames_.empty()) return actual == Type::object || fail("a manifest is one JSON object");
  const Frame& top = frames_.back();
  Type wanted = Type::any;
  bool may_be_null = false;
  switch (top.where) {
    case Where::root:
    case Where::descriptor:
    case Where::platform:
      if (top.member != nullptr) wanted = top.member->type;
      may_be_null = true;
      break;
    case Where::descriptors:
      wanted = Type::object;
      break;
    case Where::urls:
    case Where::annotations:
      wanted = Type::string;
      break;
    case Where::skipped:
      break;
  }
  if (wanted == Type::any || wanted == actual || (may_be_null && actual == Type::null)) return true;
  if (top.where == Where::annotations) return fail_here("must hold strings only");
  if (wanted == Type::integer && actual == Type::number) {
    return fail_here("must be an integer from 0 to 9223372036854775807, without sign, fraction or exponent");
  }
  return fail_here(fmt::format("must be {}", describe(wanted)));
}

Where Reader::inside(const Frame& parent, Type type) const {
  if (parent.where == Where::descriptors) return Where::descriptor;
  if (parent.member == nullptr) return Where::skipped;
  switch (parent.member->member) {
    case Member::config:
    case Member::subject:
      return Where::descriptor;
    case Member::layers:
    case Member::manifests:
    case Member::blobs:
      return Where::descriptors;
    case Member::annotations:
      return Where::annotations;
    case Member::platform:
      return Where::platform;
    case Member::urls:
      return type == Type::array ? Where::urls : Where::skipped;
    default:
      return Where::skipped;
  }
}

bool Reader::open(Type type) {
  if (frames_.size() >= limits_.depth_max) {
    return fail(fmt::format("the document is nested deeper than {} levels", limits_.depth_max));
  }
  Frame frame;
  frame.where = frames_.empty() ? Where::root : inside(frames_.back(), type);
  frame.is_object = type == Type::object;
  frame.keys_begin = keys_.size();
  if (frame.where == Where::descriptor) {
    if (++descriptors_ > limits_.descriptors_max) {
      return fail(fmt::format("the manifest has more than {} descriptors", limits_.descriptors_max));
    }
    descriptor_ = Descriptor{};
  }
  if (frame.where == Where::annotations && frames_.size() == 1) document_.annotations = "{";
  frames_.push_back(frame);
  return true;
}

bool Reader::key(std::string& name) {
  Frame& top = frames_.back();
  top.member = nullptr;
  keys_.emplace_back(static_cast<std::uint32_t>(key_bytes_.size()), static_cast<std::uint32_t>(name.size()));
  key_bytes_ += name;

  for (const KnownMember& known : members_of(top.where)) {
    if (name == known.name) {
      top.member = &known;
      break;
    }
    if (equals_folded(name, known.name)) {
      return fail_here(fmt::format("has a key that differs from \"{}\" by case only", known.name));
    }
  }
  if (top.where == Where::root && top.member != nullptr) {
    document_.seen |= std::uint32_t{1} << static_cast<unsigned>(top.member->member);
    if (top.member->member == Member::blobs && !read_blobs_) top.member = nullptr;
  }
  if (top.where == Where::annotations && frames_.size() == 2) {
    if (document_.annotations->size() > 1) *document_.annotations += ',';
    append_json_string(*document_.annotations, name);
    *document_.annotations += ':';
  }
  return true;
}

bool Reader::end_object() {
  Frame& frame = frames_.back();
  frame.member = nullptr;
  if (!check_keys(frame)) return false;
  const Where where = frame.where;
  frames_.pop_back();
  if (where == Where::descriptor && !finish_descriptor()) return false;
  if (where == Where::annotations && frames_.size() == 1) *document_.annotations += '}';
  return step();
}

/// No key twice. Readers disagree on which of two wins, so a document with two means different things to different
/// people.
bool Reader::check_keys(const Frame& frame) {
  const auto begin = keys_.begin() + static_cast<std::ptrdiff_t>(frame.keys_begin);
  if (begin == keys_.end()) return true;
  const std::size_t bytes_begin = begin->first;
  std::sort(begin, keys_.end(), [this](auto left, auto right) { return key_text(left) < key_text(right); });
  const auto same = [this](auto left, auto right) { return key_text(left) == key_text(right); };
  const auto twice = std::adjacent_find(begin, keys_.end(), same);
  if (twice != keys_.end()) {
    constexpr std::size_t kShownMax = 64;
    const std::string_view text = key_text(*twice);
    return fail_here(text.size() > kShownMax ? "has a key twice" : fmt::format("has the key \"{}\" twice", text));
  }
  keys_.erase(begin, keys_.end());
  key_bytes_.resize(bytes_begin);
  return true;
}

bool Reader::take_integer(std::uint64_t value) {
  const Frame& top = frames_.back();
  if (top.member == nullptr || top.member->type != Type::integer) return true;
  if (value > kSizeMax) return fail_here("must be an integer from 0 to 9223372036854775807");
  if (top.member->member == Member::size) {
    descriptor_.size = value;
  } else {
    document_.schema_version = value;
  }
  return true;
}

bool Reader::take_string(std::string& value) {
  const Frame& top = frames_.back();
  switch (top.where) {
    case Where::annotations:
      if (frames_.size() == 2) append_json_string(*document_.annotations, value);
      return true;
    case Where::urls:
      descriptor_.has_urls = true;
      return is_layer_url(value) || fail_here("must be an http or https URL without userinfo and fragment");
    case Where::descriptor:
    case Where::platform:
      return top.member == nullptr || take_descriptor_string(value);
    case Where::root:
      if (top.member == nullptr) return true;
      if (top.member->member == Member::artifact_type) {
        if (!value.empty() && !is_media_type(value)) return fail_here("must be a media type");
        document_.artifact_type = std::move(value);
      } else if (top.member->member == Member::media_type) {
        document_.media_type = std::move(value);
      }
      return true;
    default:
      return true;
  }
}

bool Reader::take_descriptor_string(std::string& value) {
  switch (frames_.back().member->member) {
    case Member::media_type:
      if (!is_media_type(value)) return fail_here("must be a media type");
      descriptor_.media_type = std::move(value);
      return true;
    case Member::artifact_type:
      return value.empty() || is_media_type(value) || fail_here("must be a media type");
    case Member::digest: {
      auto digest = Digest::parse(value);
      if (digest) {
        descriptor_.digest = *digest;
      } else if (digest.error().code != ErrorCode::digest_unsupported) {
        return fail_here(fmt::format("is not a digest: {}", digest.error().message));
      }
      descriptor_.digest_text = std::move(value);
      return true;
    }
    case Member::data:
      return is_base64(value) || fail_here("must be base64");
    case Member::os:
      descriptor_.os = std::move(value);
      return true;
    case Member::architecture:
      descriptor_.architecture = std::move(value);
      return true;
    case Member::variant:
      descriptor_.variant = std::move(value);
      return true;
    default:
      return true;
  }
}

/// The descriptor's frame is closed; the top says where it stood.
bool Reader::finish_descriptor() {
  if (descriptor_.media_type.empty()) return fail_here("has no mediaType");
  if (descriptor_.digest_text.empty()) return fail_here("has no digest");
  if (!descriptor_.size) return fail_here("has no size");
  const Frame& owner = frames_.back().where == Where::descriptors ? frames_[frames_.size() - 2] : frames_.back();
  if (owner.member->member == Member::subject) {
    document_.subject = std::move(descriptor_);
    return true;
  }
  if (owner.member->member == Member::config) document_.has_config = true;
  document_.entries.push_back({owner.member->member, std::move(descriptor_)});
  return true;
}

}  // namespace

Result<ManifestDocument> read_manifest_document(std::string_view body, const ManifestLimits& limits, bool read_blobs) {
  const auto refuse = [](std::string_view why) { return make_error(ErrorCode::manifest_invalid, std::string(why)); };
  if (body.empty()) return refuse("the manifest is empty");
  // Positions of keys are kept in 32 bits; the limit on bodies is far below.
  if (body.size() > std::numeric_limits<std::uint32_t>::max()) return refuse("the manifest is too large");
  // The JSON library skips a byte order mark and takes a zero byte for the end of the text.
  if (body.starts_with("\xef\xbb\xbf")) return refuse("the document starts with a byte order mark");
  if (body.find('\0') != std::string_view::npos) return refuse("the document holds a zero byte");
  Reader reader(limits, read_blobs);
  const bool whole = nlohmann::json::sax_parse(body.begin(), body.end(), &reader);
  auto document = std::move(reader).take();
  if (!whole && document) return refuse("the document is not valid JSON");
  return document;
}

}  // namespace berth::oci
