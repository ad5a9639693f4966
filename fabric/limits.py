"""What a switch's ports can do, by network OS: for checks before a switch is asked."""

# Arista 7050X3 and its siblings: `mtu` accepts 68-9214 ("Ethernet MTU 9214 bytes" in their
# `show interfaces`, networktocode/ntc-templates tests/arista_eos/show_interfaces).
MAX_MTU_BYTES = {"eos": 9214}
MIN_MTU_BYTES = {"eos": 68}
