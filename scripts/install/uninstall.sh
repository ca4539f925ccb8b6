#!/bin/sh
# Takes Sallyport off this host. Data, configuration and models stay unless --delete-data is given.
#   sh PREFIX/current/scripts/install/uninstall.sh [--delete-data]
set -eu
slot=$(cd "$(dirname "$0")/../.." && pwd -P)
prefix=$(dirname "$(dirname "$slot")")
kind=prefix config=$prefix/config data=$prefix/data user=''
if [ ! -d "$config" ]; then kind=system config=/etc/sallyport data=/var/lib/sallyport user=sallyport; fi
[ -d "$prefix/slots" ] || { echo "$prefix is no installation." >&2 && exit 1; }
case ${1:-} in '' | --delete-data) ;; *) echo "There is no option $1." >&2 && exit 1 ;; esac
. "$slot/scripts/install/service.sh"

if by_systemd; then systemctl disable --now --quiet sallyport-renew.timer sallyport.socket sallyport.service || :; fi
if pid=$(supervisor); then stop_supervisor "$pid"; fi
if [ "$kind" = system ]; then
  rm -f /etc/systemd/system/sallyport*.service /etc/systemd/system/sallyport*.socket /etc/systemd/system/sallyport*.timer
  if [ "${1:-}" = --delete-data ]; then rm -rf /etc/systemd/system/sallyport*.d; fi # what systemctl edit has written
  if by_systemd; then systemctl daemon-reload; fi
fi
if [ "${1:-}" = --delete-data ]; then
  rm -rf "$data" "$config" "$prefix/models"
  if [ -n "$user" ] && id "$user" > /dev/null 2>&1; then userdel "$user"; fi
fi
rm -rf "$prefix/slots" "$prefix/current" "$prefix/previous" "$prefix/sallyport" "$prefix/run"
if [ "${1:-}" = --delete-data ]; then
  rm -f "$prefix/release.pub"
  rmdir "$prefix" 2> /dev/null || :
  echo 'Removed, with all data.'
else echo "Removed. Kept: $data, $config, $prefix/models"; fi
