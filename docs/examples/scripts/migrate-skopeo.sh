#!/usr/bin/env bash
# Copies whole repositories from another registry with `skopeo sync`, and checks the digest of every tag afterwards.
#
#   migrate-skopeo.sh SOURCE TARGET REPOSITORY…
#   migrate-skopeo.sh old.example.com registry.example.com team/app team/web
#
# Run it as often as you like: blobs that are there are not sent again. With --preserve-digests an image that could only
# be copied under another digest is an error. ATTEMPTS=3 times each repository is tried. SYNC_OPTIONS holds more options
# of `skopeo sync`, as --src-tls-verify=false or --src-creds=…; INSPECT_SOURCE and INSPECT_TARGET those of `skopeo inspect`
# and `list-tags` for either side, as --tls-verify=false.
#
# Exit code 0 when every tag of the source is in the target with the same digest, 7 when some is not.
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: migrate-skopeo.sh SOURCE TARGET REPOSITORY…" >&2
  exit 2
fi
source=${1%/} target=${2%/}
shift 2
read -r -a sync_options <<< "${SYNC_OPTIONS:-}"
read -r -a inspect_source <<< "${INSPECT_SOURCE:-}"
read -r -a inspect_target <<< "${INSPECT_TARGET:-}"

# Of the bytes themselves.
digest_of() {  # REFERENCE OPTION…
  local bytes
  bytes=$(skopeo inspect --raw "${@:2}" "docker://$1" | sha256sum) || return 1
  echo "sha256:${bytes%% *}"
}

sync() {  # REPOSITORY
  # sync keeps the last part of a name only; what is before it goes to the target's side.
  local to=$target attempt
  if [[ $1 == */* ]]; then to=$target/${1%/*}; fi
  for ((attempt = 1; attempt <= ${ATTEMPTS:-3}; attempt++)); do
    if [ "$attempt" -gt 1 ]; then sleep $((attempt * attempt)); fi
    if skopeo sync --all --preserve-digests "${sync_options[@]}" --src docker --dest docker "$source/$1" "$to"; then return; fi
  done
  return 1
}

bad=0 good=0
for repository in "$@"; do
  sync "$repository" || echo "migrate-skopeo.sh: skopeo sync of $repository failed; what is there is checked all the same" >&2
  tags=$(skopeo list-tags "${inspect_source[@]}" "docker://$source/$repository" | jq -r '.Tags[]')
  while read -r tag; do
    [ -n "$tag" ] || continue
    wanted=$(digest_of "$source/$repository:$tag" "${inspect_source[@]}") || wanted='?'
    have=$(digest_of "$target/$repository:$tag" "${inspect_target[@]}" 2> /dev/null) || have=nothing
    if [ "$wanted" = "$have" ]; then
      echo "same	$repository:$tag	$have"
      good=$((good + 1))
    else
      echo "DIFFERS	$repository:$tag	$wanted	$have"
      bad=$((bad + 1))
    fi
  done <<< "$tags"
done
echo "$good tags are the same, $bad are not" >&2
[ "$bad" -eq 0 ] || exit 7
