#!/usr/bin/env bash
# Signs an image with cosign, and attests its SBOM when one is given.
#
#   attest.sh IMAGE@DIGEST [SBOM.spdx.json]
#
# COSIGN_KEY              a key: a file, or k8s://…, awskms://…, azurekms://…, gcpkms://…, hashivault://…; without it cosign
#                         signs as the CI job (keyless), by sigstore's public services, whose log everybody can read
# COSIGN_SIGNING_CONFIG   which services to use; one without any (see the README) keeps the name of an image to yourselves
set -euo pipefail
image=${1:?usage: attest.sh IMAGE@DIGEST [SBOM.spdx.json]}
sbom=${2:-}
if [[ $image != *@sha256:* ]]; then
  echo "attest.sh: $image has no digest: a tag may be another image by the time it is signed" >&2
  exit 2
fi
options=(--yes)
if [ -n "${COSIGN_KEY:-}" ]; then options+=(--key "$COSIGN_KEY"); fi
if [ -n "${COSIGN_SIGNING_CONFIG:-}" ]; then options+=(--signing-config "$COSIGN_SIGNING_CONFIG"); fi
cosign sign "${options[@]}" "$image"
if [ -n "$sbom" ]; then cosign attest "${options[@]}" --type spdxjson --predicate "$sbom" "$image"; fi
