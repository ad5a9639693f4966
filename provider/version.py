"""The provider's version, which the engine notes in the state."""

VERSION = "0.1.0"
