"""The keys that the devices' SSH servers show: the same ones every time for the same seed."""

import hashlib
from dataclasses import dataclass

import asyncssh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """What a device's SSH server proves that it has."""

    key: asyncssh.SSHKey
    fingerprint: str  # "SHA256:…", as `ssh-keygen -l` prints it
    public: str  # "ssh-ed25519 AAAA…"

    def known(self, host: str, port: int) -> str:
        """A line of known_hosts."""
        return f"[{host}]:{port} {self.public}\n"


def host_key(seed: int, index: int, edition: int = 0) -> HostKey:
    """A device's key; another edition is another key."""
    secret = hashlib.sha256(f"host key {seed}/{index}/{edition}".encode()).digest()
    key = asyncssh.import_private_key(
        Ed25519PrivateKey.from_private_bytes(secret).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    public = key.export_public_key("openssh").decode().split()
    return HostKey(key=key, fingerprint=key.get_fingerprint(), public=" ".join(public[:2]))
