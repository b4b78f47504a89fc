# Functions that deploy/run and tests/run share. Sourced by bash; the caller sets -euo pipefail.

berth_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# berth_say TEXT…: one line to a person, on stderr.
berth_say() {
  printf 'berth: %s\n' "$*" >&2
}

# Before a command, runs it as the person who typed sudo, so that what is built stays theirs. Empty without sudo, and in
# a folder that is root's anyway.
berth_owner=()
if [ "$(id -u)" = 0 ] && [ "${SUDO_UID:-0}" != 0 ] && [ "$(stat -c %u "$berth_root")" = "$SUDO_UID" ]; then
  berth_owner=(setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --init-groups
    env "HOME=$(getent passwd "$SUDO_UID" | cut -d: -f6)")
fi

# berth_watch TITLE LOG COMMAND…: runs a long command with its output in LOG, says every 15 s how long it has run and
# what its last line was, and shows the end of LOG when it fails.
berth_watch() {
  local title=$1 log=$2 began=$SECONDS status=0 beat
  shift 2
  # The command stays in the foreground, where Ctrl-C reaches it; what tells the time is in the background.
  (
    said=$SECONDS
    while sleep 0.5 && kill -0 $$ 2>/dev/null; do
      [ $((SECONDS - said)) -ge 15 ] || continue
      said=$SECONDS
      berth_say "$title: $((SECONDS - began)) s, $(tail -n 1 "$log" | tr -d '\r' | cut -c 1-100)"
    done
  ) &
  beat=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  if [ "$status" -ne 0 ]; then
    tail -n 40 "$log" >&2
    berth_say "$title failed (exit $status); the whole output is in $log"
    return "$status"
  fi
}

# berth_install_packages FILE…: installs the Debian packages that the files name, one a line, and that are missing.
berth_install_packages() {
  local missing=() package log
  while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q -y)
  if [ "$(id -u)" != 0 ]; then
    # -v asks for the password here, where its question can be seen.
    if ! command -v sudo >/dev/null || ! sudo -v; then
      berth_say "these packages are missing: ${missing[*]}"
      berth_say "run this again as root, or install them with: apt-get install ${missing[*]}"
      return 1
    fi
    apt=(sudo "${apt[@]}")
  fi
  berth_say "installing ${#missing[@]} Debian package(s): ${missing[*]}"
  log=$(mktemp "${TMPDIR:-/tmp}/berth-apt.XXXXXX")
  berth_watch "reading package lists" "$log" "${apt[@]}" update
  berth_watch "installing packages" "$log" "${apt[@]}" install --no-install-recommends "${missing[@]}"
  rm -f "$log"
}

# berth_build PRESET [CMAKE_OPTION…] TARGET…: configures and builds; options begin with a dash.
berth_build() {
  local preset=$1 options=() targets=() argument log
  shift
  for argument in "$@"; do
    case $argument in
      -*) options+=("$argument") ;;
      *) targets+=("$argument") ;;
    esac
  done
  log=$berth_root/build/$preset.log
  "${berth_owner[@]}" mkdir -p "$berth_root/build"
  "${berth_owner[@]}" touch "$log"
  berth_watch "configuring $preset" "$log" \
    "${berth_owner[@]}" cmake -S "$berth_root" --preset "$preset" "${options[@]}"
  berth_watch "building $preset" "$log" \
    "${berth_owner[@]}" env NINJA_STATUS='[%f/%t] ' ninja -C "$berth_root/build/$preset" "${targets[@]}"
}
