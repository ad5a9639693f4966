# shellcheck shell=sh
# What ./rackform and the scripts in engine/ share. Messages go to stderr: stdout is the command's own.

say() { printf 'rackform: %s\n' "$*" >&2; }

# die STATUS SENTENCE: 1 is a failure, 2 is something the user mends.
die() {
  status=$1
  shift
  say "$*"
  exit "$status"
}

# with_lock FILE WHAT: holds file descriptor 9 locked until this shell ends.
with_lock() {
  [ -d "${1%/*}" ] || mkdir -p "${1%/*}" 2>/dev/null || die 1 "cannot make the folder ${1%/*}: make it writable"
  exec 9>"$1" || die 1 "cannot write $1: make its folder writable"
  flock -n 9 && return
  say "another run is at $2; waiting for it (up to 20 min)"
  flock -w 1200 9 || die 1 "another run was at $2 for 20 minutes: end it (it holds $1), then run this again"
}

# run_logged LOG WHAT COMMAND…: output goes to LOG, a line every 15 s says that it goes on; on failure
# the last lines of LOG are shown. Returns the command's status.
run_logged() {
  log=$1
  what=$2
  shift 2
  [ -d "${log%/*}" ] || mkdir -p "${log%/*}"
  began=$(date -u '+%FT%TZ %s')
  printf '\n--- %s: %s\n' "${began% *}" "$what" >>"$log"
  began=${began#* }
  "$@" >>"$log" 2>&1 </dev/null 9>&- &
  child=$!
  (exec 9>&- && heartbeat "$what" "$began") &
  beat=$!
  trap 'stop_children; exit 130' INT
  trap 'stop_children; exit 143' TERM HUP
  outcome=0
  wait "$child" || outcome=$?
  trap - INT TERM HUP
  kill "$beat" 2>/dev/null || :
  [ "$outcome" -eq 0 ] || {
    say "$what failed (status $outcome). The last lines of $log:"
    tail -n 15 "$log" | sed 's/^/    /' >&2
  }
  return "$outcome"
}

heartbeat() {
  while sleep 15 >/dev/null 2>&1 && kill -0 "$$" 2>/dev/null; do
    say "  still at it: $1, $(($(date +%s) - $2)) s"
  done
}

stop_children() {
  kill "$child" "$beat" 2>/dev/null || :
  say "stopped at: $what. Run the same command again; it takes up from here"
}

# need_disk FOLDER MIB WHAT
need_disk() {
  free_mib=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
  [ "${free_mib:-0}" -ge "$2" ] || die 1 "$1 has $free_mib MiB free, and $3 needs $2 MiB: free some, or $4"
}

# quoted VALUE: VALUE as one word of sh.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# at_least VERSION WANTED: compares v3.250.0-like versions.
at_least() {
  printf '%s %s\n' "${1#v}" "${2#v}" | awk '{
    split($1, have, /[.+-]/); split($2, want, /[.+-]/)
    for (i = 1; i <= 3; i++) {
      if (have[i] + 0 > want[i] + 0) exit 0
      if (have[i] + 0 < want[i] + 0) exit 1
    }
    exit 0
  }'
}
