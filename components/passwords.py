"""Passwords as the programs that ask for them keep them: hashed."""

import base64
import hashlib

import bcrypt

_COST = 5
"""Low, as they are asked for on each request; with 256 random bits no guess comes near."""


def hashed(password: str) -> str:
    """Return bcrypt of a random token, the same for the same token.

    The salt is derived from the token, since a new salt would show as a change in every preview.
    With 256 random bits behind it there is no dictionary that a salt would have to spoil.
    """
    salt = hashlib.sha256(f"htpasswd:{password}".encode()).digest()[:16]
    standard = base64.b64encode(salt).decode().rstrip("=")
    alphabet = str.maketrans(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    )
    chosen = f"$2b${_COST:02}${standard.translate(alphabet)}"
    return bcrypt.hashpw(password.encode(), chosen.encode()).decode()
