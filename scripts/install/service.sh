# shellcheck shell=sh disable=SC2154 # sourced by activate.sh and uninstall.sh, which set kind, prefix, data, user and slot
# How the service is run here: by systemd, or by PREFIX/run.

by_systemd() { [ "$kind" = system ] && [ -d /run/systemd/system ]; }

as_user="setpriv --reuid=$user --regid=$user --init-groups"

as_service() {
  # shellcheck disable=SC2086 # a command and its options
  if [ -n "$user" ]; then $as_user -- "$@"; else "$@"; fi
}

install_units() {
  [ "$kind" = system ] || return 0
  for unit in "$slot"/scripts/deploy/systemd/sallyport*; do put "/etc/systemd/system/${unit##*/}" 644 < "$unit"; done
  if by_systemd; then
    systemctl daemon-reload
    systemctl enable --quiet sallyport.socket sallyport.service
    systemctl enable --quiet --now sallyport-renew.timer
  fi
}

# The supervisor of PREFIX/run, if it is alive.
supervisor() {
  read -r pid _ 2> /dev/null < "$data/run.pid" || return 1
  tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q 'supervise\.sh' && echo "$pid"
}

child() { cut -d ' ' -f 2 "$data/run.pid" 2> /dev/null || :; }

# How often the service ended by itself since it was started or started anew.
deaths() { cut -d ' ' -f 3 "$data/run.pid" 2> /dev/null || echo 0; }

# Calls wait in the socket while a version starts.
ready() { as_service timeout 5 "$prefix/sallyport" call --ready --as operator > /dev/null 2>&1; }

# Starts what `current` is now, or starts it anew, and waits a minute for it. Where nothing ran, nothing runs afterwards.
start_and_wait() {
  trial=''
  if by_systemd; then
    systemctl start sallyport.socket && systemctl restart sallyport.service && wait_until_ready
    return
  fi
  if pid=$(supervisor) && grep -q 'trial$' "$data/run.pid"; then stop_supervisor "$pid"; fi # left behind by an installation that was killed
  if pid=$(supervisor); then
    before_restart=$(child)
    kill -USR1 "$pid"
    deadline=$(($(date +%s) + 60))
    while [ "$(child)" = "$before_restart" ] && [ "$(date +%s)" -lt "$deadline" ]; do sleep 0.1; done
    wait_until_ready
    return
  fi
  as_service env SALLYPORT_TRIAL=trial timeout 120 "$prefix/run" > "$data/trial.log" 2>&1 &
  trial=$!
  is_ready=0
  wait_until_ready || is_ready=1
  if pid=$(supervisor); then stop_supervisor "$pid"; fi
  [ "$is_ready" = 0 ] || tail -n 5 "$data/trial.log" >&2
  return "$is_ready"
}

stop_supervisor() {
  kill -TERM "$1"
  while [ -d "/proc/$1" ]; do sleep 0.1; done
}

wait_until_ready() {
  deadline=$(($(date +%s) + 60))
  until ready; do
    [ "$(date +%s)" -lt "$deadline" ] || return 1
    if [ -n "$trial" ] && [ ! -d "/proc/$trial" ]; then return 1; fi # it gave up
    if ! by_systemd && [ "$(deaths)" -ge 3 ]; then return 1; fi
    sleep 0.3
  done
}

say_what_next() {
  certs=$data/certs
  if by_systemd; then how='It runs: systemctl status sallyport'
  elif supervisor > /dev/null; then how='It runs, under the run that was there.'
  else how="Start it: $prefix/run"; fi
  cat << END

Sallyport $(sed -n 's/^version //p' "$slot/BUNDLE") is installed and was ready. $how
  First call:    $prefix/sallyport call "Say hello."
  For clients:   $certs/ca.pem, and a certificate each: $prefix/sallyport certs issue NAME
  Keep apart:    backups ($prefix/sallyport backup --help), and the root's key, $certs/roots/1/key.pem
  Configuration: $config/sallyport.yaml
  What to do when: $current/docs/install.md
END
}
