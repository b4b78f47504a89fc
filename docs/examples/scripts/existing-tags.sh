#!/usr/bin/env bash
# Prints the tags of a repository, one a line, for `tags.sh --existing`; none when there is no such repository yet.
#
#   existing-tags.sh REPOSITORY      existing-tags.sh registry.example.com/team/app > existing
#
# Everything else that goes wrong ends it: a release that takes the registry for empty would move `latest` back. Needs crane.
set -euo pipefail
repository=${1:?usage: existing-tags.sh REPOSITORY}
code=0
said=$(crane ls "$repository" 2>&1) || code=$?
if [ "$code" -eq 0 ]; then
  if [ -n "$said" ]; then printf '%s\n' "$said"; fi
elif [[ $said != *NAME_UNKNOWN* ]]; then
  printf 'existing-tags.sh: %s\n' "$said" >&2
  exit 1
fi
