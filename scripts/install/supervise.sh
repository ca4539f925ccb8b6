#!/bin/sh
# Holds the listening socket (descriptor 3) and runs the service in a network of its own, where nothing leads out:
# the socket was opened outside, so calls come in, and no packet of the service's own can leave.
#   supervise.sh PREFIX DATA
# SIGUSR1: begin again with what `current` is now; calls wait in the socket meanwhile. SIGTERM, SIGINT, SIGHUP: stop.
# A service that ends by itself is started again after a second: five times in a row, or a hundred while an upgrade decides whether to go back.
set -eu
prefix=$1
pids=$2/run.pid
wanted=go deaths=0 limit=5 child=

trap 'wanted=again limit=100 deaths=0; kill -TERM "$child" 2>/dev/null || :' USR1
trap 'wanted=stop; kill -TERM "$child" 2>/dev/null || :' TERM INT HUP
trap 'rm -f "$pids"' EXIT

if unshare --net sh -c : 2>/dev/null; then apart='unshare --net'
elif unshare --map-root-user --net sh -c : 2>/dev/null; then apart='unshare --map-root-user --net'
else
  apart=
  echo 'WARNING: this host does not let unshare make a network without a way out; the service runs in the network of the host.' >&2
fi

while [ "$wanted" != stop ]; do
  wanted=go started=$(date +%s)
  # shellcheck disable=SC2086 # a command and its options
  $apart sh -c 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"' sh "$prefix/sallyport" serve &
  child=$!
  echo "$$ $child $deaths ${SALLYPORT_TRIAL:-}" > "$pids.new" && mv "$pids.new" "$pids"
  status=0
  while kill -0 "$child" 2>/dev/null; do wait "$child" && status=0 || status=$?; done
  [ "$wanted" = go ] || continue
  if [ $(($(date +%s) - started)) -ge 60 ]; then deaths=0; else deaths=$((deaths + 1)); fi
  [ "$deaths" -lt "$limit" ] || exit 1
  echo "The service ended (status $status); starting it again." >&2
  sleep 1
done
exit "${status:-0}"
