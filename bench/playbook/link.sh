#!/bin/sh
# link.sh INTERFACE ADDRESS MTU reload|keep: brings the link to this address and MTU; prints what it did.
set -eu
interface=$1 address=$2 mtu=$3 reload=$4
shown=$(ip -4 -o addr show dev "$interface" scope global | awk '{print $4}')
up=$(ip link show dev "$interface" up)
if [ "$reload" = reload ]; then
  networkctl reload
  echo reloaded
fi
if ! echo "$shown" | grep -qxF "$address" || [ -z "$up" ]; then
  networkctl reconfigure "$interface"
  echo reconfigured
fi
for extra in $shown; do
  [ "$extra" = "$address" ] || { ip addr del "$extra" dev "$interface" 2>/dev/null || true; echo "removed $extra"; }
done
if [ "$(cat "/sys/class/net/$interface/mtu")" != "$mtu" ]; then
  ip link set dev "$interface" mtu "$mtu"
  echo "mtu $mtu"
fi
for _ in $(seq 150); do
  if [ "$(cat "/sys/class/net/$interface/mtu")" = "$mtu" ] &&
    ip -4 -o addr show dev "$interface" | grep -qF " $address "; then
    exit 0
  fi
  sleep 0.1
done
exit 1
