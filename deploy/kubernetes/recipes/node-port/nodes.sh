#!/bin/sh
# Tells a node's containerd where the images of REGISTRY are: at UPSTREAM, with the authority of /ca/ca.crt if there is
# one. containerd reads such files anew for each pull, so nothing is restarted. ONCE=1 writes them and ends.
set -eu
certs_d=${CERTS_D:-/host/etc/containerd/certs.d}
ca=${CA:-/ca/ca.crt}
folder=$certs_d/$REGISTRY
trap 'exit 0' TERM INT

# put FILE: standard input becomes FILE, whole or not at all.
put() {
  cat >"$1.new"
  chmod 0644 "$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1" && echo "wrote $1"; fi
}

while true; do
  mkdir -p "$folder"
  [ ! -e "$ca" ] || put "$folder/ca.crt" <"$ca"
  {
    printf 'server = "%s"\n\n' "$UPSTREAM"
    printf '[host."%s"]\n  capabilities = ["pull", "resolve"]\n' "$UPSTREAM"
    # The path is the node's, and it stands below the host's own heading.
    [ ! -e "$ca" ] || printf '  ca = "/etc/containerd/certs.d/%s/ca.crt"\n' "$REGISTRY"
  } | put "$folder/hosts.toml"
  [ -z "${ONCE:-}" ] || exit 0
  sleep 60 &
  wait $!
done
