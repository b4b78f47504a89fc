// Every handler of the route table. Each takes what the router parsed and answers a Response or an Error; none writes.
#pragma once

#include "api/context.h"
#include "base/task.h"

namespace berth::api {

using Handle = Task<Response> (*)(Context&);

// health.cpp
Task<Response> get_livez(Context& context);
Task<Response> get_readyz(Context& context);
Task<Response> get_startupz(Context& context);

// metrics.cpp
Task<Response> get_metrics(Context& context);

// v2/lists.cpp
Task<Response> ping(Context& context);
Task<Response> list_repositories(Context& context);
Task<Response> list_tags(Context& context);
Task<Response> list_referrers(Context& context);

// v2/blobs.cpp
Task<Response> head_blob(Context& context);
Task<Response> get_blob(Context& context);
Task<Response> delete_blob(Context& context);

// v2/uploads.cpp
Task<Response> start_upload(Context& context);
Task<Response> get_upload(Context& context);
Task<Response> append_upload(Context& context);
Task<Response> commit_upload(Context& context);
Task<Response> cancel_upload(Context& context);

// v2/manifests.cpp
Task<Response> get_manifest(Context& context);
Task<Response> put_manifest(Context& context);
Task<Response> delete_manifest(Context& context);

// token.cpp
Task<Response> make_token(Context& context);
Task<Response> list_token_keys(Context& context);

// admin/repositories.cpp
Task<Response> delete_repository(Context& context);

}  // namespace berth::api
