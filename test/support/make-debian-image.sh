#!/bin/sh
# Makes a Debian image of six layers in the directory $1: debian.oci.tar (OCI archive, tag "v6") and debian.docker.tar
# (docker-archive, debian:test), from a root filesystem made by debootstrap. Its layers hold what unpacking gets wrong
# easily: whiteouts, an opaque directory, hard links, setuid files, device nodes, file capabilities, a name that is not
# UTF-8, a file replaced by a directory and back. Beside it, packages for its containers to install: debs/base and
# debs/postgres. Runs as root; done again, it does nothing.
set -eu

directory=${1:?usage: make-debian-image.sh DIRECTORY}
mkdir -p "$directory"
cd "$directory"

if [ -e debian.oci.tar ] && [ -e debian.docker.tar ] && [ -d debs ]; then exit 0; fi
for tool in debootstrap umoci skopeo setcap; do
  command -v "$tool" >/dev/null || PATH="$PATH:/usr/sbin:/sbin"
  command -v "$tool" >/dev/null || {
    echo "make-debian-image.sh: $tool is missing: apt-get install debootstrap umoci skopeo libcap2-bin" >&2
    exit 1
  }
done

if [ ! -d debian-rootfs ]; then
  rm -rf debian-rootfs.part
  debootstrap --variant=minbase bookworm debian-rootfs.part >debootstrap.log
  # Downloaded packages are no part of an image.
  rm -rf debian-rootfs.part/var/cache/apt/archives/*.deb
  mv debian-rootfs.part debian-rootfs
fi

# Packages that the root filesystem lacks, with what they need.
fetch() {
  name=$1
  shift
  chroot debian-rootfs apt-get install -qq -y --no-install-recommends --download-only -o "Dir::Cache::Archives=/var/cache/$name" "$@" >/dev/null
  mkdir "debs.part/$name"
  mv "debian-rootfs/var/cache/$name"/*.deb "debs.part/$name"
  rm -r "debian-rootfs/var/cache/$name"
}
if [ ! -d debs ]; then
  rm -rf debs.part
  mkdir debs.part
  fetch base sudo iputils-ping libcap2-bin rsync acl attr man-db systemd-standalone-tmpfiles
  fetch postgres postgresql-15
  # apt's index of what it has read is no part of an image.
  rm -f debian-rootfs/var/cache/apt/*.bin
  mv debs.part debs
fi

scratch=$(mktemp -d "$directory/image.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
oci=$scratch/oci
bundle=$scratch/bundle
rootfs=$bundle/rootfs
umoci init --layout "$oci"
umoci new --image "$oci:v0"
umoci unpack --image "$oci:v0" "$bundle"

commit() {
  umoci repack --refresh-bundle --image "$oci:$1" "$bundle"
}

# 1: the system itself, and directories for the later layers to work on.
cp -a debian-rootfs/. "$rootfs"
mkdir -p "$rootfs/opt/opaque/inner" "$rootfs/opt/removed" "$rootfs/opt/plain" "$rootfs/opt/swap-directory"
echo lower >"$rootfs/opt/opaque/lower"
echo lower >"$rootfs/opt/opaque/inner/lower"
echo lower >"$rootfs/opt/removed/file"
echo lower >"$rootfs/opt/plain/kept"
echo lower >"$rootfs/opt/plain/removed"
echo lower >"$rootfs/opt/swap-directory/file"
echo lower >"$rootfs/opt/swap-file"
commit v1

# 2: whiteouts of a file and of a directory, a directory in a file's place and the other way round.
rm -r "$rootfs/opt/removed" "$rootfs/opt/plain/removed" "$rootfs/opt/swap-directory" "$rootfs/opt/swap-file"
rm -r "$rootfs/usr/share/doc/apt"
echo file >"$rootfs/opt/swap-directory"
mkdir "$rootfs/opt/swap-file"
echo upper >"$rootfs/opt/swap-file/upper"
commit v2

# 3: what carries metadata.
special=$rootfs/opt/special
mkdir "$special"
cp -a "$rootfs/bin/true" "$special/setuid"
chmod 4755 "$special/setuid"
cp -a "$rootfs/bin/true" "$special/setgid"
chown 0:42 "$special/setgid"
chmod 2755 "$special/setgid"
cp -a "$rootfs/bin/true" "$special/capable"
setcap cap_net_raw,cap_net_bind_service+ep "$special/capable"
echo linked >"$special/link-a"
ln "$special/link-a" "$special/link-b"
mkdir "$special/deeper"
ln "$special/link-a" "$special/deeper/link-c"
mknod "$special/null" c 1 3
mknod "$special/loop" b 7 0
mkfifo -m 0620 "$special/fifo"
ln -s ../../etc/passwd "$special/symlink"
ln -s /nowhere/at/all "$special/dangling"
mkdir -m 1777 "$special/sticky"
mkdir -m 0000 "$special/closed"
echo secret >"$special/closed/file"
: >"$special/empty"
echo 'user xattr' >"$special/xattr"
setfattr -n user.lamina.note -v 'a value' "$special/xattr" 2>/dev/null || :
echo latin1 >"$special/$(printf 'caf\351')"
echo utf8 >"$special/$(printf 'caf\303\251')"
mkdir "$special/$(printf 'dir\377')"
echo inside >"$special/$(printf 'dir\377')/$(printf 'file\376')"
long=$(printf 'n%.0s' $(seq 1 250))
mkdir -p "$special/$long/$long"
echo long >"$special/$long/$long/$long"
chown 1000:1000 "$special/empty"
touch -d '2001-02-03 04:05:06.789012345 UTC' "$special/empty"
touch -h -d '1969-12-31 23:59:58 UTC' "$special/symlink"
commit v3

# 4: a package to install, and a lower file made executable.
package=$(cd "$scratch" && apt-get download hello >/dev/null 2>&1 && ls ./*.deb || :)
if [ -n "$package" ]; then
  cp "$scratch/$package" "$rootfs/x.deb"
else
  # No package list on this machine: any .deb that installs in the image will do.
  mkdir -p "$scratch/deb/DEBIAN" "$scratch/deb/usr/bin"
  printf 'Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: none <none@example.org>\nDescription: greets\n' \
    >"$scratch/deb/DEBIAN/control"
  printf '#!/bin/sh\necho "Hello, world!"\n' >"$scratch/deb/usr/bin/hello"
  chmod 755 "$scratch/deb/usr/bin/hello"
  dpkg-deb --root-owner-group --build "$scratch/deb" "$rootfs/x.deb" >/dev/null
fi
chmod 644 "$rootfs/x.deb"
chmod 755 "$rootfs/opt/plain/kept"
commit v4

# 5: an opaque directory, which umoci reads but never writes: the marker comes after a file that it must not hide.
# Times to the nanosecond, in PAX headers.
mkdir -p "$scratch/opaque/opt/opaque/inner"
echo upper >"$scratch/opaque/opt/opaque/upper"
echo upper >"$scratch/opaque/opt/opaque/inner/upper"
: >"$scratch/opaque/opt/opaque/.wh..wh..opq"
touch -d '2010-11-12 13:14:15.123456789 UTC' "$scratch/opaque/opt/opaque/upper" "$scratch/opaque/opt/opaque/inner"
tar -C "$scratch/opaque" --format=posix --numeric-owner --owner=0 --group=0 -cf "$scratch/opaque.tar" --no-recursion \
  opt opt/opaque opt/opaque/upper opt/opaque/.wh..wh..opq opt/opaque/inner opt/opaque/inner/upper
umoci raw add-layer --image "$oci:v4" --tag v5 "$scratch/opaque.tar"

# 6: on top of it, changes below a directory that earlier layers made.
rm -rf "$bundle"
umoci unpack --image "$oci:v5" "$bundle"
rm "$rootfs/opt/special/deeper/link-c"
echo top >>"$rootfs/opt/plain/kept"
commit v6
umoci config --image "$oci:v6" --config.cmd /bin/bash --config.env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  --config.env LAMINA_TEST=image

skopeo copy --quiet "oci:$oci:v6" "oci-archive:$scratch/debian.oci.tar:v6"
skopeo copy --quiet "oci:$oci:v6" "docker-archive:$scratch/debian.docker.tar:debian:test"
rm -rf debian-oci
mv "$oci" debian-oci
mv "$scratch/debian.oci.tar" debian.oci.tar
mv "$scratch/debian.docker.tar" debian.docker.tar
