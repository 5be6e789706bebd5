"""A certificate authority of the tests' own, because a broker without TLS proves nothing about TLS."""

import ssl
from pathlib import Path

import trustme

NAMES = ("localhost", "127.0.0.1")


class Authority:
    """Issues one certificate for this machine's own names and keeps it as files in `directory`."""

    def __init__(self, directory: Path, *, names: tuple[str, ...] = NAMES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.ca_file = directory / "ca.pem"
        self.certificate_file = directory / "certificate.pem"
        self.key_file = directory / "key.pem"
        authority = trustme.CA()
        issued = authority.issue_cert(*names)
        authority.cert_pem.write_to_path(self.ca_file)
        issued.private_key_pem.write_to_path(self.key_file)
        self.certificate_file.unlink(missing_ok=True)
        for part in issued.cert_chain_pems:
            part.write_to_path(self.certificate_file, append=True)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)
