#!/usr/bin/env bash
# Logs a CI job in at a registry by a token of the CI system, for every client of the job, and for as long as it takes.
#
#   login.sh REGISTRY [SCOPE]      login.sh registry.example.com repository:team/app:pull,push
#
# It asks the registry for an access token at once, so that a job that is not let in ends here and not after the build.
# With SCOPE it also ends when that is not granted in full. Needs bash, curl and jq. The clients find the helper by PATH:
# the folder of this file is added to it in GitHub Actions and Azure Pipelines; elsewhere `export PATH="$PWD/ci:$PATH"`.
set -euo pipefail
registry=${1:?usage: login.sh REGISTRY [SCOPE]}
scope=${2:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

token=$("$here/ci-token.sh" "${REGISTRY_AUDIENCE:-https://$registry}")
answer=$(printf '%s' "$token" | curl --silent --show-error --retry 3 --max-time 30 "https://$registry/token" \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:token-exchange \
  --data-urlencode subject_token_type=urn:ietf:params:oauth:token-type:id_token \
  --data-urlencode subject_token@- ${scope:+--data-urlencode "scope=$scope"})
if ! jq -e .access_token > /dev/null 2>&1 <<< "$answer"; then
  # What the token says, without its signature, is what a rule has to match.
  part=${token#*.} part=${part%%.*} padding='==='
  part=$part${padding:0:$(((4 - ${#part} % 4) % 4))}
  claims=$(tr '_-' '/+' <<< "$part" | base64 -d 2> /dev/null | jq -c . 2> /dev/null) || claims='(nothing: it is not a JWT)'
  echo "login.sh: $registry does not take the token: $(jq -r '.error_description // .error // .' <<< "$answer" 2> /dev/null || echo "$answer")" >&2
  echo "login.sh: the token says $claims" >&2
  exit 1
fi

# Compared as sets: the registry may name the actions in another order.
if [ -n "$scope" ]; then
  granted=$(jq -r .scope <<< "$answer")
  wanted_actions=${scope##*:} name=${scope%:*}
  for action in ${wanted_actions//,/ }; do
    case " $granted " in
      *" $name:"*) ;;
      *) granted= ;;
    esac
    given=${granted#*"$name:"} given=${given%% *}
    if [[ -z $granted || ",$given," != *",$action,"* ]]; then
      echo "login.sh: no $action in ${name#repository:}: $registry grants '$(jq -r .scope <<< "$answer")'" >&2
      exit 1
    fi
  done
fi

folder=${DOCKER_CONFIG:-$HOME/.docker}
mkdir -p "$folder"
if [ ! -s "$folder/config.json" ]; then echo '{}' > "$folder/config.json"; fi
new=$(jq --arg registry "$registry" '.credHelpers[$registry] = "ci-token" | del(.auths[$registry])' "$folder/config.json")
printf '%s\n' "$new" > "$folder/config.json"
if [ -n "${GITHUB_PATH:-}" ]; then echo "$here" >> "$GITHUB_PATH"; fi
if [ -n "${TF_BUILD:-}" ]; then echo "##vso[task.prependpath]$here"; fi
echo "$registry: logged in"
