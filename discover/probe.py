"""What is asked of a machine: one script for sh that only reads, and its answer cut in sections.

Every question may go unanswered: a tool that is missing leaves its section empty. A card is what
has a device behind it; in a container, such as a twin's host, a veth that no bridge holds.
"""

MARK = "@@rackform "

SCRIPT = r"""
LC_ALL=C; export LC_ALL; PATH=$PATH:/usr/sbin:/sbin
sys=${RACKFORM_SYS:-/sys}
s() { printf '\n@@rackform %s\n' "$1"; }
card() { [ -e "$1/device" ] || { [ -e /run/systemd/container ] &&
  [ ! -e "$1/master" ] && ip -d link show dev "$(basename "$1")" | grep -qw veth; }; }
driver() { [ -e "$1/device" ] || { echo veth; return; }
  basename "$(readlink -f "$1/device/driver")"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi 2>/dev/null; }
read_() { cat "$1" 2>/dev/null || true; }
{
s hostname; hostname
s machine-id; read_ /etc/machine-id
s clock; date +%s.%N
s os; read_ /etc/os-release
s uname; uname -srm
s cpu; lscpu
s memory; grep MemTotal /proc/meminfo
s root; awk '$2=="/"{print $4}' /proc/mounts
s user; id -un
s sudo; if [ "$(id -u)" = 0 ]; then echo yes; else sudo -n true 2>&1 && echo yes; fi
s secure-boot; mokutil --sb-state
s modules; cut -d' ' -f1 /proc/modules
s run-file; ls /usr/bin/nvidia-uninstall /usr/bin/nvidia-installer
s driver; read_ /proc/driver/nvidia/version
s packages; dpkg-query -W -f '${Package} ${Version} ${db:Status-Abbrev}\n' \
  'nvidia-*' 'libnvidia-*' docker.io docker-ce lldpd rdma-core
s held; dpkg-query -W -f '${db:Status-Want} ${Package}\n' | sed -n 's/^hold //p'
s smi; nvidia-smi -q -x
s topology; nvidia-smi topo -m
s cards; for d in "$sys"/bus/pci/devices/*; do
  case "$(read_ "$d/class")" in 0x0300*|0x0302*|0x0380*) ;; *) continue;; esac
  n=$(udevadm info -q property "$d" | sed -n 's/^ID_MODEL_FROM_DATABASE=//p')
  echo "pci=$(basename "$d") vendor=$(read_ "$d/vendor")" \
    "speed_max=$(read_ "$d/max_link_speed" | cut -d' ' -f1)" \
    "slot=$(read_ "$(dirname "$(readlink -f "$d")")/max_link_speed" | cut -d' ' -f1)" \
    "width=$(read_ "$d/current_link_width") width_max=$(read_ "$d/max_link_width")" \
    "name=${n:-$(lspci -s "$(basename "$d")")}"; done
s addresses; ip -j address
s route; ip -j route show default
s nics; for d in "$sys"/class/net/*; do card "$d" || continue
  echo "name=$(basename "$d") speed=$(read_ "$d/speed") type=$(read_ "$d/type")" \
    "pci=$(basename "$(readlink -f "$d/device")")" \
    "driver=$(driver "$d")" \
    "numa=$(read_ "$d/device/numa_node") width=$(read_ "$d/device/current_link_width")" \
    "width_max=$(read_ "$d/device/max_link_width")"; done
s rdma; for d in "$sys"/class/infiniband/*; do [ -e "$d/device" ] || continue
  for n in "$d"/device/net/*; do echo "$(basename "$d") $(basename "$n")"; done; done
s acs; as_root lspci -vv | grep -c 'ACSCtl:.*\(ReqRedir+\|CmpltRedir+\)'
s lldp; as_root lldpctl -f json0 || networkctl lldp --no-pager
s disks; lsblk -J -b -d -o NAME,SIZE,TYPE,ROTA,MODEL
s docker; as_root docker version -f 'version {{.Server.Version}}'
  echo "containers $(as_root docker ps -q | wc -l)"; [ -d /snap/docker ] && echo snap
s holders; for d in "$sys"/class/net/*; do card "$d" || continue; n=$(basename "$d")
  as_root grep -lsE "^[[:space:]]*(auto|allow-[a-z]+|iface)[[:space:]].*\b$n\b" \
    /etc/network/interfaces /etc/network/interfaces.d/* | sed "s|^|$n |"
  as_root grep -lsE "^[[:space:]]+$n:" /etc/netplan/*.yaml | sed "s|^|$n |"; done
  nmcli -t -f DEVICE,STATE device | sed -n 's/:connected.*/ NetworkManager/p'
s ufw; as_root ufw status | grep -x 'Status: active'
s power; as_root ipmitool sdr type 'Power Supply'
} 2>/dev/null
exit 0
"""


def sections(text: str) -> dict[str, str]:
    """Return the answer by section; a section that is missing was never reached."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(MARK):
            lines = found.setdefault(line.removeprefix(MARK).strip(), [])
        else:
            lines.append(line)
    return {name: "\n".join(body).strip("\n") for name, body in found.items()}
