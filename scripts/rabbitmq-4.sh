#!/bin/sh
# Sets up RabbitMQ 4.x beside the system's own server, in a directory, from the Debian mirror that apt uses.
#
#   scripts/rabbitmq-4.sh [--suite trixie|forky] DIR
#
# Afterwards DIR/rabbitmq-server can be given to --rabbitmq-server or ORDERSTORM_RABBITMQ_SERVER. It is a launcher that
# enters DIR/root in a mount namespace of its own; nothing is installed, nothing is started, no port is opened. Run again,
# it only renews the launcher. To remove all of it: rm -r DIR.
set -eu

suite=trixie
dir=

say() { printf '%s\n' "rabbitmq-4: $*"; }
die() {
    printf '%s\n' "rabbitmq-4: $1" "help: $2" >&2
    exit 1
}
usage() {
    cat <<'USAGE'
usage: scripts/rabbitmq-4.sh [--suite trixie|forky] DIR

  trixie  RabbitMQ 4.0 (the default)
  forky   RabbitMQ 4.3 or later; Debian's testing, so the version moves
  DIR     where to put it, about 300 MB; /var/lib/orderstorm/rabbitmq-4 is found without being named

The set-up needs root, debootstrap and unshare. The server it makes can be run by every user.
USAGE
}

parse_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --suite)
            [ $# -ge 2 ] || die "--suite: no suite given" "write --suite trixie or --suite forky"
            suite=$2
            shift
            ;;
        --suite=*) suite=${1#--suite=} ;;
        -*) die "unknown option $1" "see $0 --help" ;;
        *)
            [ -z "$dir" ] || die "more than one directory given" "see $0 --help"
            dir=$1
            ;;
        esac
        shift
    done
    case $suite in
    trixie | forky) ;;
    *) die "suite '$suite' is not supported" "write --suite trixie (RabbitMQ 4.0) or --suite forky (4.3 or later)" ;;
    esac
    [ -n "$dir" ] || die "no directory given" "for example: $0 /var/lib/orderstorm/rabbitmq-4"
}

check_requirements() {
    [ "$(uname -s)" = Linux ] || die "this is not Linux" "run it on Linux, or use a broker in a container"
    [ "$(id -u)" = 0 ] || die "the set-up needs root" "run it with sudo; the server itself then runs as any user"
    command -v unshare >/dev/null || die "unshare is missing" "apt-get install util-linux"
    command -v debootstrap >/dev/null || die "debootstrap is missing" "apt-get install debootstrap"
    command -v apt-get >/dev/null || die "apt is missing" "run it on Debian, or name a mirror with MIRROR=URL"
    unshare -m true 2>/dev/null || die "mount namespaces are not permitted here" \
        "in a container, start that with --cap-add SYS_ADMIN or --privileged"
}

# Address of the Debian mirror in apt's own sources, whatever their format.
find_mirror() {
    mirror=${MIRROR:-}
    [ -n "$mirror" ] || mirror=$(
        apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
            sed -n 's/^Debian|Debian|main|//p' | head -n 1
    )
    [ -n "$mirror" ] || die "apt has no index of a Debian mirror" "run apt-get update first, or give MIRROR=URL"
    # debootstrap does not read apt's settings.
    proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    [ -z "$proxy" ] || export http_proxy="$proxy"
}

# debootstrap knows a suite by a script of its name; one that is newer than itself is set up like Debian's unstable.
find_recipe() {
    recipes=${DEBOOTSTRAP_DIR:-/usr/share/debootstrap}/scripts
    recipe=$recipes/$suite
    [ -e "$recipe" ] || recipe=$recipes/sid
    [ -e "$recipe" ] || die "debootstrap has no recipe for $suite" "install a newer debootstrap"
}

set_up_root() {
    part=$dir/root.part
    if [ -e "$part" ]; then
        if grep -qF " $part" /proc/mounts; then
            die "$part, left by an earlier try, has something mounted in it" "umount that first"
        fi
        rm -rf --one-file-system -- "$part"
    fi
    say "fetching $suite into $dir/root: one to three minutes, 300 MB; details in $dir/setup.log"
    # A mount namespace of its own, so that whatever debootstrap mounts goes with it.
    if ! unshare -m debootstrap --variant=minbase --include=rabbitmq-server,procps \
        "$suite" "$part" "$mirror" "$recipe" >"$dir/setup.log" 2>&1; then
        tail -n 15 "$dir/setup.log" >&2
        die "debootstrap failed" "see the lines above and $dir/setup.log; then run this again"
    fi
    rm -f -- "$part"/var/cache/apt/archives/*.deb
    grep -q localhost "$part/etc/hosts" 2>/dev/null || printf '127.0.0.1 localhost\n' >>"$part/etc/hosts"
    printf '%s\n' "$suite" >"$part/.orderstorm-suite"
    chmod 755 "$part"
    mv -- "$part" "$dir/root"
}

write_launcher() {
    cat >"$dir/launcher.new" <<'LAUNCHER'
#!/bin/sh
# Runs the program of its own name out of the root beside it: in a mount namespace of its own (an ordinary user's also in
# a user namespace), with this machine's /proc, /sys, /dev, and the directory that HOME names at its usual place.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

if [ "${1:-}" != --inside ]; then
    name=$(basename -- "$0")
    here=$(dirname -- "$(readlink -f -- "$0")")
    case $name in
    rabbitmq-server | rabbitmqctl | rabbitmq-diagnostics | rabbitmq-queues) program=/usr/lib/rabbitmq/bin/$name ;;
    epmd) program=/usr/bin/epmd ;;
    *)
        echo "launcher: no program is known as '$name'" >&2
        exit 64
        ;;
    esac
    rights=-m
    [ "$(id -u)" = 0 ] || rights='-r -m'
    # shellcheck disable=SC2086 # these are two options
    exec unshare $rights -- /bin/sh "$here/rabbitmq-server" --inside "$here/root" "$program" "$@"
fi

root=$2 program=$3
shift 3
for place in proc sys dev; do
    mount --rbind "/$place" "$root/$place"
done

# Shows HOME inside. What of its path the root lacks is made in memory, so that no run leaves a trace on the disk.
state=$(readlink -f -- "$HOME")
if [ "$state" != / ]; then
    there=$state
    while [ ! -d "$root$there" ]; do
        there=${there%/*}
    done
    if [ -z "$there" ]; then
        # No part of the path is there to put a file system on; only root can make one.
        there=${state#/}
        there=/${there%%/*}
        mkdir -- "$root$there" || {
            echo "launcher: cannot show $state inside $root: use a directory under /tmp, /home or /var" >&2
            exit 73
        }
    fi
    if [ "$there" != "$state" ]; then
        mount -t tmpfs -o mode=755 none "$root$there"
        mkdir -p -- "$root$state"
    fi
    mount --rbind "$state" "$root$state"
fi
exec chroot "$root" "$program" "$@"
LAUNCHER
    chmod 755 "$dir/launcher.new"
    mv -f -- "$dir/launcher.new" "$dir/rabbitmq-server"
    for name in epmd rabbitmqctl rabbitmq-diagnostics rabbitmq-queues; do
        ln -sf rabbitmq-server "$dir/$name"
    done
}

parse_arguments "$@"
mkdir -p -- "$dir" 2>/dev/null || die "cannot make $dir" "run it with sudo, or choose another directory"
dir=$(readlink -f -- "$dir")
check_requirements
if [ -d "$dir/root" ]; then
    found=$(cat "$dir/root/.orderstorm-suite" 2>/dev/null || echo unknown)
    [ "$found" = "$suite" ] || die "$dir holds suite $found already" "choose another directory for $suite"
    say "$dir/root is there already"
else
    find_mirror
    find_recipe
    set_up_root
fi
write_launcher
set -- "$dir"/root/usr/lib/rabbitmq/lib/rabbitmq_server-*
[ -d "$1" ] || die "$dir/root has no RabbitMQ in it" "rm -r $dir, then run this again"
say "RabbitMQ ${1##*rabbitmq_server-} is ready: ORDERSTORM_RABBITMQ_SERVER=$dir/rabbitmq-server"
