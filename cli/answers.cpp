#include "cli/answers.h"

#include <cctype>
#include <nlohmann/json.hpp>
#include <ostream>

namespace berth::cli {
namespace {

/// The message of an element of the error body, or its code when it has none.
std::string said_by(const nlohmann::json& error) {
  for (const char* member : {"message", "code"})
    if (error.is_object() && error.contains(member) && error[member].is_string() && error[member] != "")
      return error[member].get<std::string>();
  return "the server says no more";
}

}  // namespace

std::string harmless(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

bool may_be_server(const std::string& url) {
  std::size_t scheme = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  return scheme != 0 && url.size() > scheme && url.find_first_of("/?#@ ", scheme) == url.npos;
}

std::string encode(const std::string& text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) || c == '-' || c == '.' || c == '_' || c == '~')) {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

int code_of(long status) {
  if (status >= 200 && status < 300) return kOk;
  if (status == 404) return kNotFound;
  if (status == 401 || status == 403) return kDenied;
  if (status == 405 || status == 409 || status == 412) return kConflict;
  return kFailure;
}

int report(const std::string& what, const HttpAnswer& answer, const Program& program) {
  std::string said;
  auto body = nlohmann::json::parse(answer.body, nullptr, false);
  if (body.is_object() && body.contains("errors") && body["errors"].is_array())
    for (const auto& error : body["errors"]) said += ": " + said_by(error);
  if (said.empty()) said = ": the server answered " + std::to_string(answer.status);
  program.err << "berth: " << what << harmless(said) << '\n';
  return code_of(answer.status);
}

int report(const std::string& what, const Unreachable& gone, const Program& program) {
  program.err << "berth: " << what << ": " << gone.reason << '\n';
  return kUnreachable;
}

int usage(const std::string& what, const Program& program) {
  program.err << "berth: " << harmless(what) << '\n';
  return kUsage;
}

std::string wrong_server(const std::string& server) {
  return "--server " + server + ": expected http:// or https:// and a host, as http://127.0.0.1:5000";
}

}  // namespace berth::cli
