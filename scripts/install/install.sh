#!/bin/sh
# Installs Sallyport from a bundle, or upgrades what is installed. Needs a shell, tar, sed, grep, coreutils and findutils; no network, compiler or package manager.
#
#   tar -xf BUNDLE install.sh && sh install.sh BUNDLE [--prefix DIR] [--trust FINGERPRINT]
#
#   --prefix DIR          everything in DIR, for this user, started by DIR/run. Without it (as root): /opt/sallyport, /etc/sallyport,
#                         /var/lib/sallyport, a user `sallyport` and systemd units
#   --trust FINGERPRINT   refuse a bundle that another release key signed
#
# Whom this trusts, in this order:
#   1. sha256sum of this host says that every byte is the one that was sealed: the bundle is whole.
#   2. The seal's signature is checked by what is installed already, against the key that was pinned at the first installation. At the first
#      installation there is neither: the bundle's own runtime checks the signature, --trust says by whom it must be, and that key is pinned. Whoever
#      made this file could have made the check too, so compare `sha256sum BUNDLE`, or the fingerprint, with what reached you by another way.
#   3. Only then anything is written: into a slot that does not run (a or b), where each file is checked against FILES once more.
# Whatever interrupts it: run it again, and it goes on. What runs after this is activate.sh of the new slot.
set -eu
umask 022
export LC_ALL=C

die() {
  echo "$1" >&2
  exit 1
}

bundle='' prefix='' trust=''
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=${2:?names no directory} && shift 2 ;;
    --trust) trust=${2:?names no fingerprint} && shift 2 ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
    -*) die "There is no option $1; --help tells which there are." ;;
    *) bundle=$1 && shift ;;
  esac
done
[ -f "$bundle" ] || die 'Name the bundle: sh install.sh BUNDLE [--prefix DIR]'
if [ -n "$prefix" ]; then
  case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
  kind=prefix
else
  [ "$(id -u)" = 0 ] || die 'Installing for the whole host needs root. For this user alone: --prefix DIR'
  prefix=/opt/sallyport kind=system
fi
case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) die "There is no bundle for $(uname -m)." ;; esac
node=node_modules/node-linux-$arch/bin/node
current=$prefix/current

echo '1/8 verify: checksum, signature, whether it fits this host'
size=$(wc -c < "$bundle")
[ "$size" -gt 2048 ] || die "$bundle is no bundle: it is too short. Nothing was written."
found=$(head -c "$((size - 2048))" "$bundle" | sha256sum | cut -c 1-64)
[ "$found" = "$(tail -c 2048 "$bundle" | sed -n 's/^sha256 //p')" ] || die "$bundle was altered or damaged on its way. Nothing was written. Copy it again."
fact() { tar --occurrence=1 -xOf "$bundle" BUNDLE | sed -n "s/^$1 //p"; }
[ "$(fact target)" = "linux-$arch" ] || die "This bundle is for $(fact target), and this host is linux-$arch. Nothing was written."
base=$(fact base)
if [ -n "$base" ] && ! { [ -e "$current/FILES" ] && echo "$base  $current/FILES" | sha256sum -c > /dev/null 2>&1; }; then
  die 'This bundle holds only what changed since another version, and that one does not run here. Take the whole bundle. Nothing was written.'
fi
if [ -e "$current/BUNDLE" ] && [ "$(sed -n 's/^data-format //p' "$current/BUNDLE")" -gt "$(fact data-format)" ]; then
  die "The data here were written by a later version, $(sed -n 's/^version //p' "$current/BUNDLE"). Restore a backup of this version's time to go back. Nothing was written."
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
checker=$current pinned=''
if [ -e "$prefix/release.pub" ]; then
  pinned=$(cat "$prefix/release.pub")
  [ -n "$pinned" ] || die "$prefix/release.pub, the key that is trusted here, is empty. Restore it from a backup. Nothing was written."
fi
if [ ! -e "$current/BUNDLE" ]; then
  tar -xf "$bundle" -C "$scratch" package.json scripts/bundle/seal.ts scripts/bundle/check-seal.ts "$node"
  checker=$scratch
  "$scratch/$node" --version > /dev/null 2>&1 || die "No program may run in $scratch (mounted noexec?): set TMPDIR to a directory where one may. Nothing was written."
fi
signer=$("$checker/$node" "$checker/scripts/bundle/check-seal.ts" "$bundle" "$found" $pinned) || die 'Nothing was written.'
[ -z "$trust" ] || [ "${signer#* }" = "$trust" ] || die "The bundle is signed by ${signer#* }, and not by $trust. Nothing was written."
echo "    $(fact version), commit $(fact commit), signed by ${signer#* }"

echo '2/8 unpack into the slot that does not run'
slots=$prefix/slots
mkdir -p "$slots"
running=$(readlink "$current" || :)
slot=$slots/a
[ "$running" != slots/a ] || slot=$slots/b
whole() { [ "$(cat "$1.sealed" 2> /dev/null)" = "$found" ] && (cd "$1" && sha256sum -c FILES > /dev/null 2>&1); }
if [ -n "$running" ] && whole "$prefix/$running"; then
  slot=$prefix/$running
elif ! whole "$slot"; then
  rm -rf "$slot" "$slot.sealed" "$slot.partial"
  mkdir "$slot.partial"
  tar -xf "$bundle" -C "$slot.partial" --no-same-owner
  if [ -n "$base" ]; then # what a differential bundle leaves out is what runs now
    while read -r _ file; do [ -e "$slot.partial/$file" ] || printf '%s\0' "$file"; done < "$slot.partial/FILES" > "$scratch/kept"
    kept() { (cd "$current" && xargs -0 -r cp -p "$@" --parents -t "$slot.partial" < "$scratch/kept"); }
    kept -l 2> /dev/null || kept --remove-destination
  fi
  (cd "$slot.partial" && sha256sum -c FILES > /dev/null) || die 'A file is not what it should be: is the disk whole? What runs was not touched.'
  sync
  mv "$slot.partial" "$slot"
  echo "$found" > "$slot.sealed"
fi
rm -rf "$scratch"
exec sh "$slot/scripts/install/activate.sh" "$kind" "$prefix" "$slot" "${signer% *}"
