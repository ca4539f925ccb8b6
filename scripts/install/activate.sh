#!/bin/sh
# The second half of an installation: install.sh has checked and unpacked a slot, and this puts it to work, or leaves what worked before.
#   activate.sh system|prefix PREFIX SLOT KEY
# Each step may be interrupted and done again.
set -eu
umask 022
kind=$1 prefix=$2 slot=$3 key=$4
current=$prefix/current

config=$prefix/config data=$prefix/data user=''
if [ "$kind" = system ]; then config=/etc/sallyport data=/var/lib/sallyport user=sallyport; fi
. "$slot/scripts/install/service.sh"

die() {
  echo "$1" >&2
  exit 1
}
# The command line of the slot that is put to work.
sallyport() { as_service env SALLYPORT_CONFIG="$config/sallyport.yaml" SALLYPORT_DATA="$data" SALLYPORT_MODELS="$prefix/models" "$slot"/node_modules/node-linux-*/bin/node "$slot/scripts/sallyport.ts" "$@"; }
# Names `current` anew in one move: there is no moment without one.
point() { ln -sfn "$2" "$prefix/$1.new" && mv -T "$prefix/$1.new" "$prefix/$1"; }
# Writes standard input to a file, whole or not at all.
put() { cat > "$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"; }

echo '3/8 directories, configuration, models'
echo "$key" | put "$prefix/release.pub" 644
if [ -n "$user" ] && ! id "$user" > /dev/null 2>&1; then
  useradd --system --user-group --no-create-home --home-dir "$data" --shell /usr/sbin/nologin "$user"
fi
mkdir -p "$config" "$data" "$prefix/models"
chmod 700 "$data"
if [ -n "$user" ]; then chown "$user:$user" "$data"; fi
[ -e "$config/sallyport.yaml" ] || put "$config/sallyport.yaml" 644 < "$slot/sallyport.yaml"
"$slot"/node_modules/node-linux-*/bin/node "$slot/scripts/install/take-models.ts" "$slot/models" "$prefix/models"

echo '4/8 keys and certificates'
sallyport setup

echo '5/8 doctor'
sallyport doctor || die 'Mend what failed, then run the installation again. What ran before was not touched.'

echo '6/8 switch'
sync
before=$(readlink "$current" || :)
if [ "$before" = "slots/${slot##*/}" ]; then before=$(readlink "$prefix/previous" || :); fi
if [ -n "$before" ]; then point previous "$before"; fi
# What root's calls write must be the service's to read. Models are root's; and who is root in a namespace of his own, as the service is, owns the data.
as_owner=
if [ -n "$user" ]; then
  as_owner='[ "$(id -u)" != 0 ] || [ -O "$SALLYPORT_DATA" ] || [ "${1-}" = models ]'" || exec $as_user -- \"$prefix/sallyport\" \"\$@\""
fi
put "$prefix/sallyport" 755 << END
#!/bin/sh
# The command line of the version that is installed.
export SALLYPORT_CONFIG="\${SALLYPORT_CONFIG:-$config/sallyport.yaml}" SALLYPORT_DATA="\${SALLYPORT_DATA:-$data}" SALLYPORT_MODELS="\${SALLYPORT_MODELS:-$prefix/models}"
$as_owner
exec "$current"/node_modules/node-linux-*/bin/node "$current/scripts/sallyport.ts" "\$@"
END
put "$prefix/run" 755 << END
#!/bin/sh
# Runs the service in the foreground, in a network of its own. Ctrl-C stops it.
export SALLYPORT_CONFIG="$config/sallyport.yaml"
exec "$current"/node_modules/node-linux-*/bin/node "$current/scripts/install/listen.ts" sh "$current/scripts/install/supervise.sh" "$prefix" "$data"
END
point current "slots/${slot##*/}"

echo '7/8 units'
install_units

echo '8/8 start, and wait until /readyz is green'
if start_and_wait; then
  say_what_next
  exit 0
fi
if [ -n "$before" ] && [ "$before" != "slots/${slot##*/}" ]; then
  point current "$before"
  if start_and_wait; then die "The new version did not become ready: back on $(sed -n 's/^version //p' "$current/BUNDLE"). What it said is in the service's log."; fi
  die 'Neither the new version nor the one before became ready. What they said is in the service'"'"'s log.'
fi
die 'The service did not become ready. Mend what its log names, then run the installation again.'
