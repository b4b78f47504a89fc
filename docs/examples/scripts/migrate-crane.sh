#!/usr/bin/env bash
# Copies repositories from another registry, tag by tag, and checks each.
#
#   migrate-crane.sh SOURCE TARGET [REPOSITORY…]
#   migrate-crane.sh old.example.com registry.example.com              all that the catalog of the old one names
#   migrate-crane.sh old.example.com/team registry.example.com/team app web
#
# Run it as often as you like: a tag that both have under the same digest is left alone, so it goes on where it ended,
# and a last run while nobody pushes takes what came in the meantime. Every platform of an image is copied. A tag that
# is in the target only stays.
#
# One line a tag on standard output (copied, same or FAILED, REPOSITORY:TAG, digest), and at the end how many of each.
# Exit code 0 when all that the source has is in the target, 7 when some is not, 2 for wrong arguments.
# ATTEMPTS=3 times each tag is tried. Needs crane, logged in at both (crane auth login, docker login).
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: migrate-crane.sh SOURCE TARGET [REPOSITORY…]" >&2
  exit 2
fi
source=${1%/} target=${2%/}
shift 2
crane=${CRANE:-crane}
copied=0 same=0 failed=0

if [ $# -gt 0 ]; then
  repositories=$(printf '%s\n' "$@")
elif [[ $source == */* ]]; then
  echo "migrate-crane.sh: a catalog is of a whole registry: name the repositories below $source" >&2
  exit 2
else
  repositories=$("$crane" catalog "$source")
fi

# Digest of what the target has, empty when it has not. Another failure counts as "has not", and the copy then fails.
digest_of() { "$crane" digest "$1" 2> /dev/null || true; }

copy_tag() {  # REPOSITORY TAG
  local from="$source/$1" to="$target/$1:$2" wanted='' told attempt
  for ((attempt = 1; attempt <= ${ATTEMPTS:-3}; attempt++)); do
    if [ "$attempt" -gt 1 ]; then sleep $((attempt * attempt)); fi
    wanted=$("$crane" digest "$from:$2") || continue
    if [ "$(digest_of "$to")" = "$wanted" ]; then
      echo "same	$1:$2	$wanted"
      same=$((same + 1))
      return
    fi
    # By digest: the tag may move while it is copied.
    if ! told=$("$crane" copy "$from@$wanted" "$to" 2>&1); then
      printf '%s\n' "$told" >&2
      continue
    fi
    if [ "$(digest_of "$to")" = "$wanted" ]; then
      echo "copied	$1:$2	$wanted"
      copied=$((copied + 1))
      return
    fi
  done
  echo "FAILED	$1:$2	${wanted:-?}"
  failed=$((failed + 1))
}

while read -r repository; do
  [ -n "$repository" ] || continue
  if ! tags=$("$crane" ls "$source/$repository"); then
    echo "FAILED	$repository	?"
    failed=$((failed + 1))
    continue
  fi
  while read -r tag; do
    [ -z "$tag" ] || copy_tag "$repository" "$tag" < /dev/null
  done <<< "$tags"
done <<< "$repositories"
echo "$copied copied, $same the same before, $failed failed" >&2
[ "$failed" -eq 0 ] || exit 7
