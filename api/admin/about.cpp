// /api/v1/version, /api/v1/certificates, /api/v1/openapi.json: what there is to know of this berth.
#include "api/admin/forms.h"
#include "api/admin/handlers.h"
#include "api/admin/openapi.h"

namespace berth::api::admin {

Task<Response> get_version(Context& context) {
  BERTH_CO_CHECK(require_authenticated(context));
  Out out;
  out["version"] = context.options.version;
  co_return json_answer(200, out);
}

Task<Response> list_certificates(Context& context) {
  Out items = Out::array();
  const auto loaded = context.options.certificates ? context.options.certificates() : std::vector<LoadedCertificate>{};
  for (const LoadedCertificate& certificate : loaded) {
    Out item;
    item["listener"] = certificate.listener;
    item["file"] = certificate.file;
    item["names"] = certificate.names;
    item["subject"] = certificate.subject;
    item["issuer"] = certificate.issuer;
    item["key"] = certificate.key;
    item["fingerprint"] = certificate.fingerprint;
    item["not_before"] = form_of(certificate.not_before);
    item["not_after"] = form_of(certificate.not_after);
    item["loaded_at"] = form_of(certificate.loaded_at);
    item["problem"] = certificate.problem.empty() ? Out() : Out(certificate.problem);
    items.push_back(std::move(item));
  }
  co_return json_answer(200, page_of(std::move(items), ""));
}

Task<Response> get_openapi(Context& context) {
  BERTH_CO_CHECK(require_authenticated(context));
  static const std::string document = openapi_document().dump();
  co_return text_response(200, document, "application/json");
}

}  // namespace berth::api::admin
