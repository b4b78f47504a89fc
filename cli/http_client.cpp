#include "cli/http_client.h"

#include <curl/curl.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <memory>
#include <string_view>

#include "base/shared_library.h"

namespace berth::cli {
namespace {

constexpr std::size_t kBodyBytesMax = 16 << 20;
constexpr std::size_t kHeadersMax = 100;

std::size_t take_body(char* data, std::size_t one, std::size_t size, void* user) {
  auto& body = *static_cast<std::string*>(user);
  if (body.size() + size * one > kBodyBytesMax) return 0;  // ends the transfer with an error
  body.append(data, size * one);
  return size * one;
}

std::size_t take_header(char* data, std::size_t one, std::size_t size, void* user) {
  std::string_view line(data, size * one);
  constexpr std::string_view kLink = "link:";
  if (line.size() > kLink.size() && strncasecmp(line.data(), kLink.data(), kLink.size()) == 0)
    static_cast<HttpAnswer*>(user)->link = std::string(line.substr(kLink.size()));
  const auto colon = line.find(':');
  auto& headers = static_cast<HttpAnswer*>(user)->headers;
  if (colon != line.npos && headers.size() < kHeadersMax) {
    std::string name(line.substr(0, colon));
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto begin = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
    const auto end = line.find_last_not_of(" \t\r\n");
    headers[name] = end == line.npos || end < begin ? "" : std::string(line.substr(begin, end + 1 - begin));
  }
  return line.size();
}

std::size_t refuse_to_send(char*, std::size_t, std::size_t, void*) { return CURL_READFUNC_ABORT; }

using Lines = std::unique_ptr<curl_slist, void (*)(curl_slist*)>;

/// The header lines beside libcurl's own.
Lines lines_of(const HttpRequest& request) {
  Lines lines(nullptr, &curl_slist_free_all);
  const auto add = [&lines](const std::string& line) {
    if (auto* longer = curl_slist_append(lines.get(), line.c_str())) {
      (void)lines.release();
      lines.reset(longer);
    }
  };
  if (!request.authorization.empty()) add("Authorization: " + request.authorization);
  if (request.json) {
    add("Content-Type: application/json");
    add("Expect:");  // a small body needs no leave
  }
  return lines;
}

}  // namespace

std::variant<HttpAnswer, Unreachable> send(const HttpRequest& request) {
  static const CURLcode kReady = libcurl().load().empty() ? curl_global_init(CURL_GLOBAL_DEFAULT) : CURLE_FAILED_INIT;
  std::unique_ptr<CURL, void (*)(CURL*)> curl(kReady == CURLE_OK ? curl_easy_init() : nullptr, &curl_easy_cleanup);
  if (!curl) return Unreachable{"libcurl cannot be used"};
  HttpAnswer answer;
  std::array<char, CURL_ERROR_SIZE> detail{};
  curl_easy_setopt(curl.get(), CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "berth");
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, detail.data());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &take_body);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, &take_header);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &answer);
  const Lines lines = lines_of(request);
  if (lines) curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, lines.get());
  if (request.json) {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, request.json->data());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.json->size()));
  }
  if (request.announced_bytes != 0) {
    curl_easy_setopt(curl.get(), CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.announced_bytes));
    curl_easy_setopt(curl.get(), CURLOPT_READFUNCTION, &refuse_to_send);
  }
  if (!request.socket.empty()) curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, request.socket.c_str());
  if (!request.ca_file.empty()) curl_easy_setopt(curl.get(), CURLOPT_CAINFO, request.ca_file.c_str());
  if (!request.use_proxy) curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  if (!request.verify) {
    curl_easy_setopt(curl.get(), CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl.get(), CURLOPT_SSL_VERIFYHOST, 0L);
  }
  CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK)
    return Unreachable{detail[0] != '\0' ? detail.data() : curl_easy_strerror(code), code == CURLE_PEER_FAILED_VERIFICATION,
                       code == CURLE_ABORTED_BY_CALLBACK};
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  return answer;
}

}  // namespace berth::cli
