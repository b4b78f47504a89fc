// Media types (RFC 6838 §4.2) and the header that carries one.
#pragma once

#include <string>
#include <string_view>

namespace berth::oci {

/// `type/subtype`, each of at most 127 characters; no parameters.
bool is_media_type(std::string_view text);

/// The value of a Content-Type header without its parameters, lower-cased. Unchecked; empty when there is none.
std::string media_type_of_header(std::string_view header);

/// Layers that a registry need not hold when they carry urls (image-spec layer.md, "Non-Distributable Layers").
bool is_nondistributable_layer(std::string_view media_type);

/// Is this the type of a manifest or index (of any standard), and so not of a blob?
bool is_manifest_media_type(std::string_view media_type);

/// Docker's withdrawn first format, plain or signed.
bool is_schema1_media_type(std::string_view media_type);

}  // namespace berth::oci
