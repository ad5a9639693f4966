"""What a switch's ports can do and how they are called, by network OS: for checks beforehand.

Arista 7050X3 and its siblings take an `mtu` of 68 to 9214 ("Ethernet MTU 9214 bytes" in their
`show interfaces`, networktocode/ntc-templates tests/arista_eos/show_interfaces). Onyx: 1500 to 9216
(user manual, "mtu"). NVUE's `link mtu`: 552 to 9216 (NVUE command reference). SONiC: 68 to 9216
(sonic-port.yang), and VLANs from 2 on (sonic-vlan.yang).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    min_mtu_bytes: int
    max_mtu_bytes: int
    port: str
    """A regular expression for the name of a front-panel port."""
    example: str
    first_vlan: int = 1


LAST_VLAN = 4094
LIMITS = {
    "eos": Limits(68, 9214, r"Ethernet\d{1,3}(/\d{1,2}){0,2}", "Ethernet1 or Ethernet1/1"),
    "onyx": Limits(1500, 9216, r"Eth\d{1,2}/\d{1,3}(/\d{1,2})?", "Eth1/1"),
    "cumulus": Limits(552, 9216, r"swp\d{1,3}(s\d)?", "swp1 or swp1s0"),
    "sonic": Limits(68, 9216, r"Ethernet\d{1,3}", "Ethernet0", first_vlan=2),
}
