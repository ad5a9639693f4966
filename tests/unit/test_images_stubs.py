"""What stands in for CUDA's libraries: every symbol asked for, as what its users expect."""

from images.builder.stubs import assembly


def test_a_function_of_a_c_interface_returns_an_error() -> None:
    assert ".type ncclSend,@function\nncclSend: mov $1, %eax\n ret" in assembly(["ncclSend"])


def test_a_typeinfo_carries_its_mangled_name() -> None:
    text = assembly(["_ZTIN4c10d16ProcessGroupNCCLE"])
    assert '.asciz "N4c10d16ProcessGroupNCCLE"' in text
    assert ".type _ZTIN4c10d16ProcessGroupNCCLE,@object" in text


def test_a_vtable_is_zeros() -> None:
    assert "_ZTV1A: .zero 512" in assembly(["_ZTV1A"])


def test_every_symbol_is_defined_once_and_global() -> None:
    names = ["_ZTI1A", "_ZTV1A", "_Z1fv", "cudnnCreate"]
    text = assembly(names)
    for name in names:
        assert text.count(f".globl {name}\n") == 1
