// What berth counts, for Prometheus.
#include "api/handlers.h"
#include "api/metrics_page.h"
#include "base/metrics.h"

namespace berth::api {

Task<Response> get_metrics(Context& context) {
  if (!metrics::counting()) {
    co_return make_error(ErrorCode::route_unknown, "metrics are switched off here: metrics.enabled is false");
  }
  const bool compressed = accepts_gzip(context.request.headers);
  BERTH_CO_TRY(const auto page, co_await context.metrics_page.get(compressed));
  Response response;
  response.headers.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  response.headers.add("Vary", "Accept-Encoding");
  response.headers.add("Cache-Control", "no-store");
  if (compressed) response.headers.add("Content-Encoding", "gzip");
  const std::uint64_t size = page->size();
  response.body.emplace_back(MemorySlice{page, {0, size}});
  co_return response;
}

}  // namespace berth::api
