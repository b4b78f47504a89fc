#!/usr/bin/env bash
# Lets an environment run exactly the image that was tested: the bytes of one digest, with its signatures and SBOM.
#
#   promote.sh SOURCE TARGET
#   promote.sh registry.example.com/team/app@sha256:… registry.example.com/prod/app:env-production
#
# SOURCE is a digest or a tag, which is looked up once. TARGET is a tag in the same repository or another, here or on
# another registry; blobs are mounted where the registry can. What TARGET named before is printed, to go back to.
#
# COSIGN_PUBLIC_KEY   nothing is promoted that is not signed with it. COSIGN_VERIFY: more arguments of `cosign verify`, as
#                     --certificate-identity-regexp=… --certificate-oidc-issuer=… for images that were signed keyless
# Needs regctl, and cosign to verify.
set -euo pipefail
source=${1:?usage: promote.sh SOURCE TARGET}
target=${2:?usage: promote.sh SOURCE TARGET}
if [[ $target == *@* || ${target##*/} != *:* ]]; then
  echo "promote.sh: the target must be a tag: $target" >&2
  exit 2
fi

digest=$(regctl image digest "$source")
repository=${source%@*}
if [[ ${repository##*/} == *:* ]]; then repository=${repository%:*}; fi

if [ -n "${COSIGN_PUBLIC_KEY:-}${COSIGN_VERIFY:-}" ]; then
  read -r -a options <<< "${COSIGN_VERIFY:-}"
  if [ -n "${COSIGN_PUBLIC_KEY:-}" ]; then options+=(--key "$COSIGN_PUBLIC_KEY"); fi
  cosign verify "${options[@]}" "$repository@$digest" > /dev/null
fi

before=$(regctl image digest "$target" 2> /dev/null || true)
regctl image copy --referrers --digest-tags "$repository@$digest" "$target" > /dev/null
after=$(regctl image digest "$target")
if [ "$after" != "$digest" ]; then
  echo "promote.sh: $target is $after and not $digest: somebody else moved it" >&2
  exit 1
fi
echo "$target is $digest, was ${before:-nothing}"
