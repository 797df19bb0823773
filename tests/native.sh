#!/bin/sh
# Runs a command on a copy of this checkout in a root of Debian 13: Python 3.13, glibc 2.41.
#
#     tests/native.sh make test
#
# Needs root, and Debian's packages. The root lies in .native/ (5 GB when tests have run) and is
# kept; the copy in it is made anew each time. Mirror, pip's and uv's settings and the certificates
# are this machine's. All is mounted in a namespace of its own, and all that was started in there
# ends with it: nothing stays mounted, whatever happens, so deleting .native/ is safe at any time.
set -eu

cd "$(dirname "$0")/.."
root=$PWD/.native/debian13
[ "$(id -u)" = 0 ] || { echo "Making a Debian root takes root: sudo make test-native" >&2; exit 2; }
mkdir -p .native
exec 9> .native/lock # held by all that is started in the root
flock --nonblock 9 || { echo "Something runs in .native/ already" >&2; exit 2; }

if [ ! -e "$root/.made" ]; then
    command -v mmdebstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq mmdebstrap; }
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' | head -n 1)
    rm -rf "$root"
    mkdir -p "$root"
    mmdebstrap --quiet --variant=minbase \
        --include=python3,python3-venv,python3-dev,make,g++,git,ca-certificates \
        trixie "$root" "${mirror:-http://deb.debian.org/debian}"
    touch "$root/.made"
fi

for file in /etc/pip.conf "$HOME/.pip/pip.conf" "$HOME/.config/pip/pip.conf" /etc/uv/uv.toml \
    "$HOME/.config/uv/uv.toml" /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do
    if [ -e "$file" ]; then
        inside=$root/$(echo "$file" | sed "s|^$HOME/|root/|")
        mkdir -p "$(dirname "$inside")"
        cp "$file" "$inside"
    fi
done

# The working tree as it stands, as a repository: some tests ask git what belongs to it. `.venv` and
# the workspace of an earlier run stay.
copy=$root/src/signs
mkdir -p "$copy" "$root/src/shared"
find "$copy" -mindepth 1 -maxdepth 1 ! -name .venv ! -name workspace -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from=- --ignore-failed-read 2>/dev/null | tar --extract -C "$copy"
(cd "$copy" && git init --quiet && git add --all &&
    git -c user.name=signs -c user.email=signs@localhost commit --quiet --message "The tree")

export root
exec unshare --mount --pid --fork --kill-child sh -eu -c '
    mount --make-rprivate /
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount --rbind /sys "$root/sys"
    if [ -d ../shared ]; then mount --rbind -o ro ../shared "$root/src/shared"; fi
    exec chroot "$root" env HOME=/root LC_ALL=C.UTF-8 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        sh -eu -c "cd /src/signs; \"\$@\"; exit \$?" sh "$@" # it stays, to reap orphans
' sh "$@"
