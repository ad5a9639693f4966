"""Packages with NVIDIA's names for a host of the twin: apt, dpkg, systemd and the reboot are real.

The stand-in driver is loaded at boot alone, as after a real installation on a host that runs: its
unit then writes what NVIDIA's module shows in /proc. `nvidia-smi` and Fabric Manager refuse to work
while the loaded version is another than their own, in NVIDIA's words.
"""

from collections.abc import Sequence

LAY = r"""
set -eu
mkdir -p /etc/apt/off /srv/nvidia && cd /srv/nvidia
mv /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/off 2>/dev/null || true
echo 'deb [trusted=yes] file:/srv/nvidia ./' > /etc/apt/sources.list.d/stand-in.list
: > Packages

control() {  # tree, package, version, more
  mkdir -p $1/DEBIAN
  printf 'Package: %s\nVersion: %s\n%b' $2 $3 "$4" > $1/DEBIAN/control
  printf 'Architecture: all\nMaintainer: test\nDescription: x\n' >> $1/DEBIAN/control
}
packed() {  # tree
  dpkg-deb --root-owner-group -b $1 $1.deb >/dev/null
  cat $1/DEBIAN/control >> Packages
  printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' $1 $(stat -c %s $1.deb) \
    $(sha256sum $1.deb | cut -d' ' -f1) >> Packages
}
loaded='$(sed -n "s/.*x86_64  \([0-9.]*\) .*/\1/p" /proc/driver/nvidia/version 2>/dev/null)'

for version in VERSIONS; do
  number=${version%-*}

  tree=driver-$version; control $tree nvidia-open $version ''
  mkdir -p $tree/usr/bin $tree/usr/sbin $tree/usr/lib/systemd/system/sysinit.target.wants
  cat > $tree/usr/sbin/stand-in-load <<EOF
#!/bin/sh
mount -t tmpfs stand-in /proc/driver && mkdir /proc/driver/nvidia
echo 'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  $number  Release Build' \
  > /proc/driver/nvidia/version
EOF
  cat > $tree/usr/bin/nvidia-smi <<EOF
#!/bin/sh
if [ "$loaded" != $number ]; then
  echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18
fi
case \$1 in --query-gpu=driver_version) echo $number; echo $number ;; esac
EOF
  chmod 755 $tree/usr/sbin/stand-in-load $tree/usr/bin/nvidia-smi
  cat > $tree/usr/lib/systemd/system/stand-in-driver.service <<EOF
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/stand-in-load
EOF
  ln -sf ../stand-in-driver.service $tree/usr/lib/systemd/system/sysinit.target.wants/
  packed $tree

  tree=manager-$version
  control $tree nvidia-fabricmanager-${number%%.*} $version \
    'Provides: manager\nConflicts: manager\nReplaces: manager\n'
  mkdir -p $tree/usr/bin $tree/usr/lib/systemd/system
  cat > $tree/usr/bin/nv-fabricmanager <<EOF
#!/bin/sh
if [ "$loaded" != $number ]; then
  echo "fabric manager NVIDIA GPU driver interface version $number don't match"; exit 1
fi
exec sleep infinity
EOF
  chmod 755 $tree/usr/bin/nv-fabricmanager
  cat > $tree/usr/lib/systemd/system/nvidia-fabricmanager.service <<EOF
[Service]
ExecStart=/usr/bin/nv-fabricmanager
[Install]
WantedBy=multi-user.target
EOF
  packed $tree
done
"""


def lay(versions: Sequence[str]) -> str:
    """Return the script that makes a repository of the stand-ins and makes it the host's only."""
    return LAY.replace("VERSIONS", " ".join(versions))
