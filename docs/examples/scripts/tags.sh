#!/usr/bin/env bash
# Prints the tags that a build pushes, one a line; the first is the one to quote.
#
#   tags.sh [--existing FILE]
#   tags.sh --cache             the tag of the build cache that this build writes
#
# FILE holds the tags that the repository has by now, one a line (existing-tags.sh REPOSITORY > FILE). With it a release
# moves `latest`, `1` and `1.2` only when it is the newest that these names stand for: 1.4.7 after 2.0.0 leaves `latest` alone.
#
# What is built is taken from the variables of GitHub Actions, GitLab CI, Azure Pipelines or Jenkins. Elsewhere, or to
# say otherwise, set GIT_TAG, PULL_REQUEST or BRANCH, and COMMIT, BUILD_NUMBER, ENVIRONMENT, BUILD_TIME (20261121201500, UTC).
#
#   git tag v1.2.3         1.2.3  1.2  1  latest    0.3.1 gives no `0`, and 2.0.0-rc.1 nothing but itself
#   branch main            main                     and main-20261121201500-0a1b2c3, which sorts by time
#   branch release/1.x     release-1.x              and the same with the time
#   branch feature/login   branch-feature-login     and the same with the time, and no other tag
#   pull request 17        pr-17  pr-17-0a1b2c3d4e5f, and no other tag
# and, but for pull requests and other branches:
#   commit                 sha-0a1b2c3d4e5f
#   build number           build-42
#   environment            env-staging
#
# So each kind of run has names of its own, and the registry's grants (see the README) let it push those alone.
set -euo pipefail

existing=
cache=
if [ "${1:-}" = --existing ] && [ $# -eq 2 ]; then
  existing=$2
elif [ "${1:-}" = --cache ] && [ $# -eq 1 ]; then
  cache=yes
elif [ $# -ne 0 ]; then
  echo "usage: tags.sh [--existing FILE | --cache]" >&2
  exit 2
fi

from_ref() {  # refs/heads/main, refs/tags/v1, refs/pull/17/merge
  case $1 in
    refs/tags/*) GIT_TAG=${1#refs/tags/} ;;
    refs/heads/*) BRANCH=${1#refs/heads/} ;;
    refs/pull/*) PULL_REQUEST=${1#refs/pull/} PULL_REQUEST=${PULL_REQUEST%%/*} ;;
  esac
}

if [ -z "${GIT_TAG:-}${PULL_REQUEST:-}${BRANCH:-}" ]; then
  if [ -n "${GITHUB_ACTIONS:-}" ]; then
    from_ref "${GITHUB_REF:-}"
    COMMIT=${COMMIT:-${GITHUB_SHA:-}} BUILD_NUMBER=${BUILD_NUMBER:-${GITHUB_RUN_NUMBER:-}}
  elif [ -n "${GITLAB_CI:-}" ]; then
    GIT_TAG=${CI_COMMIT_TAG:-} PULL_REQUEST=${CI_MERGE_REQUEST_IID:-} BRANCH=${CI_COMMIT_BRANCH:-}
    COMMIT=${COMMIT:-${CI_COMMIT_SHA:-}} BUILD_NUMBER=${BUILD_NUMBER:-${CI_PIPELINE_IID:-}}
  elif [ -n "${TF_BUILD:-}" ]; then
    from_ref "${BUILD_SOURCEBRANCH:-}"
    COMMIT=${COMMIT:-${BUILD_SOURCEVERSION:-}} BUILD_NUMBER=${BUILD_NUMBER:-${BUILD_BUILDID:-}}
  elif [ -n "${JENKINS_URL:-}" ]; then
    GIT_TAG=${TAG_NAME:-} PULL_REQUEST=${CHANGE_ID:-} BRANCH=${BRANCH_NAME:-} COMMIT=${COMMIT:-${GIT_COMMIT:-}}
  fi
fi
commit=${COMMIT:-}
if [ -z "$commit" ]; then commit=$(git rev-parse HEAD 2>/dev/null || true); fi

# A tag is [A-Za-z0-9_][A-Za-z0-9._-]{0,127}.
as_tag() {
  local text=${1//[^A-Za-z0-9._-]/-}
  while [[ $text == [.-]* ]]; do text=${text:1}; done
  printf '%s\n' "${text:0:${2:-128}}"
}

# Whether none of the existing releases that match $1 is newer than $2.
is_newest() {
  [ -n "$existing" ] || return 0
  local newest
  newest=$({ grep -E "$1" "$existing" || true; printf '%s\n' "$2"; } | sort -t. -k1,1n -k2,2n -k3,3n | tail -n 1)
  [ "$newest" = "$2" ]
}

# The branches that everybody may rely on; the others have a prefix, and so cannot pass for a release or for one of these.
is_main() { [[ $1 == main || $1 == release/* ]]; }

if [ -n "$cache" ]; then
  # What a release is built from must not come out of a pull request.
  if [ -n "${PULL_REQUEST:-}" ]; then
    echo buildcache-pr
  elif [ -n "${BRANCH:-}" ] && [ -z "${GIT_TAG:-}" ] && ! is_main "$BRANCH"; then
    echo buildcache-branch
  else
    echo buildcache
  fi
  exit 0
fi

number='(0|[1-9][0-9]*)'
if [ -n "${PULL_REQUEST:-}" ]; then
  as_tag "pr-$PULL_REQUEST"
  if [ -n "$commit" ]; then as_tag "pr-$PULL_REQUEST-${commit:0:12}"; fi
  exit 0
elif [ -n "${GIT_TAG:-}" ]; then
  if [[ $GIT_TAG =~ ^v?$number\.$number\.$number(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$ ]]; then
    major=${BASH_REMATCH[1]} minor=${BASH_REMATCH[2]} plain="$major.$minor.${BASH_REMATCH[3]}" more=${BASH_REMATCH[5]}
    as_tag "$plain${BASH_REMATCH[4]}${more/+/_}"
    if [ -z "${BASH_REMATCH[4]}" ]; then
      if is_newest "^$major\.$minor\.[0-9]+$" "$plain"; then echo "$major.$minor"; fi
      if [ "$major" != 0 ] && is_newest "^$major\.[0-9]+\.[0-9]+$" "$plain"; then echo "$major"; fi
      if is_newest '^[0-9]+\.[0-9]+\.[0-9]+$' "$plain"; then echo latest; fi
    fi
  else
    as_tag "$GIT_TAG"
  fi
elif [ -n "${BRANCH:-}" ]; then
  if is_main "$BRANCH"; then branch=$(as_tag "$BRANCH" 100); else branch=$(as_tag "branch-$BRANCH" 100); fi
  printf '%s\n' "$branch"
  if [ -n "$commit" ]; then printf '%s-%s-%s\n' "$branch" "${BUILD_TIME:-$(date -u +%Y%m%d%H%M%S)}" "${commit:0:7}"; fi
  if ! is_main "$BRANCH"; then exit 0; fi
fi
if [ -n "$commit" ]; then as_tag "sha-${commit:0:12}"; fi
if [ -n "${BUILD_NUMBER:-}" ]; then as_tag "build-$BUILD_NUMBER"; fi
if [ -n "${ENVIRONMENT:-}" ]; then as_tag "env-$ENVIRONMENT"; fi
