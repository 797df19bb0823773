"""Where KFP's API is asked, and as whom: checked before anything is sent."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from signs.errors import UserError


@dataclass(frozen=True)
class Connection:
    """Where KFP's API answers, and as whom we ask.

    Args:
        host: as in `http://localhost:8080`; None: the cluster that we run in, else the kubeconfig
            that `kubectl` would take, through the cluster's own proxy.
        context: of the kubeconfig; None: its current one.
        namespace: whose runs they are, where one installation serves several users.
        token_file: holds a bearer token. It is read for every request, since tokens that a cluster
            mounts are replaced every hour.
        token_env: the environment variable that holds one.
        ca: certificates to trust (PEM), in place of the public ones.

    Raises:
        UserError: an address that is none, two tokens, or no token where one should be.
    """

    host: str | None = None
    context: str | None = None
    namespace: str | None = None
    token_file: Path | None = None
    token_env: str | None = None
    ca: Path | None = None

    def __post_init__(self) -> None:
        if self.host is not None:
            _check_host(self.host)
        if self.host is not None and self.context is not None:
            raise UserError("--context is of a kubeconfig: leave out --host, or --context")
        if self.token_file is not None and self.token_env is not None:
            raise UserError("give one token: --token-file or --token-env")
        if (self.token_file or self.token_env) and self.host is None:
            raise UserError("a token is for a server at --host: the kubeconfig has its own")
        if self.ca is not None and not self.ca.is_file():
            raise UserError(f"--ca: there is no file {self.ca}")
        self.token()

    @property
    def place(self) -> str:
        """The server, in words."""
        if self.host is not None:
            return self.host
        return "KFP in this cluster" if in_cluster() else "KFP in the kubeconfig's cluster"

    def token(self) -> str | None:
        """The bearer token as it is now; None where there is none to be sent.

        Raises:
            UserError: it is missing, or could not be sent. The text never shows it.
        """
        if self.token_file is not None:
            place = f"--token-file {self.token_file}"
            try:
                token = self.token_file.read_text("ascii").strip()
            except OSError as err:
                raise UserError(f"{place} cannot be read: {err.strerror}") from err
            except UnicodeDecodeError:
                raise UserError(f"{place} holds no token: a token is ASCII text") from None
        elif self.token_env is not None:
            place = f"--token-env {self.token_env}"
            token = os.environ.get(self.token_env, "").strip()
        else:
            return None
        if not token:
            raise UserError(f"{place} is empty: a bearer token is needed")
        # What a header cannot hold would be quoted, token and all, by the error that refuses it.
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UserError(f"{place} holds no token: it has spaces or other characters in it")
        return token


def in_cluster() -> bool:
    """Whether this runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


def _check_host(host: str) -> None:
    try:
        parts = urlsplit(host)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        known = False
    if not known:
        raise UserError(
            f"--host must be an address, as in http://localhost:8080. Received: {host!r}"
        )
    if parts.username is not None or parts.password is not None:
        raise UserError("--host must hold no password: give a token by --token-file")
    if "?" in host or "#" in host:
        raise UserError(
            "--host must be the address without what a page adds to it: leave out what follows "
            f"{host.partition('?')[0].partition('#')[0]}"
        )
