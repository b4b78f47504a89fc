#!/usr/bin/env bash
# Prints a token by which the CI system says which job this is. No secret is stored anywhere: the registry knows the CI
# system's keys, and rules over what its tokens say (docs/access.md, "OpenID Connect").
#
#   ci-token.sh AUDIENCE
#
# REGISTRY_TOKEN        GitLab (`id_tokens`), Jenkins (a credential of the plugin oidc-provider): the token itself
# REGISTRY_TOKEN_FILE   a file with it, as Kubernetes projects it into a pod
# GitHub Actions        is asked for one; the job needs `permissions: {id-token: write}`
# Azure Pipelines       is asked for one; the step needs `env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}`. The audience
#                       of its tokens is always api://AzureADTokenExchange
set -euo pipefail
audience=${1:?usage: ci-token.sh AUDIENCE}

# The bearer goes by a file handle: arguments can be read by whoever is on the machine.
ask() { curl --fail --silent --show-error --retry 3 --max-time 30 --config <(printf 'header = "Authorization: Bearer %s"\n' "$1") "${@:2}"; }

if [ -n "${REGISTRY_TOKEN:-}" ]; then
  printf '%s\n' "$REGISTRY_TOKEN"
elif [ -n "${REGISTRY_TOKEN_FILE:-}" ]; then
  cat "$REGISTRY_TOKEN_FILE"
elif [ -n "${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ]; then
  ask "$ACTIONS_ID_TOKEN_REQUEST_TOKEN" --get --data-urlencode "audience=$audience" "$ACTIONS_ID_TOKEN_REQUEST_URL" | jq -er .value
elif [ -n "${SYSTEM_OIDCREQUESTURI:-}" ]; then
  ask "${SYSTEM_ACCESSTOKEN:?the step must hand on SYSTEM_ACCESSTOKEN}" --request POST --header 'Content-Type: application/json' \
    --data '{}' "$SYSTEM_OIDCREQUESTURI?api-version=7.1" | jq -er .oidcToken
else
  echo "ci-token.sh: no CI system here that gives tokens (GitHub: is the permission id-token: write there?)" >&2
  exit 1
fi
