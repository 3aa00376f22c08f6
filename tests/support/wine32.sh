# Makes a Debian for i386 with Wine in a folder. What this machine knows of mirrors, proxies and
# certificates holds in there too.
set -eu
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sort -u | sed -n 1p)
debootstrap --variant=minbase --arch=i386 trixie "$1" ${mirror:+"$mirror"}
apt-config dump | grep ^Acquire:: >"$1/etc/apt/apt.conf.d/99machine" || true
cp /etc/resolv.conf /etc/hosts "$1/etc/"
mkdir -p "$1/etc/ssl/certs"
find /etc/ssl/certs -maxdepth 1 -xtype f -exec cp -L --remove-destination -t "$1/etc/ssl/certs" {} +
export DEBIAN_FRONTEND=noninteractive
unshare --mount sh -euc 'mount -t proc proc "$1/proc"; chroot "$1" apt-get update
    chroot "$1" apt-get install --yes --no-install-recommends wine wine32
    chroot "$1" apt-get clean' sh "$1"
