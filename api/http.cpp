#include "api/http.h"

#include <algorithm>

namespace berth::api {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Header names are ASCII (RFC 9110 §5.1), so the locale has no say.
bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

struct PartSize {
  std::uint64_t operator()(const std::string& text) const { return text.size(); }
  std::uint64_t operator()(const FileSlice& slice) const { return slice.range.size(); }
  std::uint64_t operator()(const MemorySlice& slice) const { return slice.range.size(); }
};

bool is_registry_path(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  return path == "/v2" || path.starts_with("/v2/");
}

}  // namespace

void add_common_headers(Response& response, std::string_view request_id, std::string_view target) {
  if (!request_id.empty()) response.headers.set("X-Request-Id", std::string(request_id));
  if (is_registry_path(target)) response.headers.set("Docker-Distribution-API-Version", "registry/2.0");
  // Whatever somebody pushed must not run in this origin.
  response.headers.set("X-Content-Type-Options", "nosniff");
  response.headers.set("Content-Security-Policy", "default-src 'none'");
}

std::string_view to_string(Method method) {
  switch (method) {
    case Method::get: return "GET";
    case Method::head: return "HEAD";
    case Method::post: return "POST";
    case Method::put: return "PUT";
    case Method::patch: return "PATCH";
    case Method::delete_: return "DELETE";
    case Method::options: return "OPTIONS";
    case Method::other: return "OTHER";
  }
  return "OTHER";
}

void Headers::set(std::string_view name, std::string value) {
  std::erase_if(items_, [name](const auto& item) { return same_name(item.first, name); });
  add(std::string(name), std::move(value));
}

std::string_view Headers::get(std::string_view name) const {
  for (const auto& [key, value] : items_) {
    if (same_name(key, name)) return value;
  }
  return {};
}

bool Headers::has(std::string_view name) const {
  return std::any_of(items_.begin(), items_.end(), [name](const auto& item) { return same_name(item.first, name); });
}

std::vector<std::string_view> Headers::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : items_) {
    if (same_name(key, name)) values.emplace_back(value);
  }
  return values;
}

std::uint64_t Response::body_size() const {
  std::uint64_t size = 0;
  for (const BodyPart& part : body) size += std::visit(PartSize{}, part);
  return size;
}

std::size_t Response::memory_bytes() const {
  std::size_t bytes = body.capacity() * sizeof(BodyPart);
  for (const BodyPart& part : body) {
    if (const auto* text = std::get_if<std::string>(&part)) bytes += text->capacity();
    // The slice keeps all of it, shared or not: others may forget theirs before.
    if (const auto* slice = std::get_if<MemorySlice>(&part); slice != nullptr && slice->bytes) bytes += slice->bytes->size();
  }
  return bytes;
}

}  // namespace berth::api
