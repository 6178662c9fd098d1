"""Who may open a page that this package serves.

On this machine's own address anybody on this machine. On any other address whoever knows a token:
it is in the printed address, and the first answer turns it into a cookie, which the page's later
requests and its WebSocket carry. Pages of other sites, open in the same browser, may not speak to
ours: a request that names another origin, or a foreign name for this machine, is refused.
"""

import hashlib
import hmac
import io
import ipaddress
import logging
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

from reach_rl.config.problems import ConfigError

if TYPE_CHECKING:
    import viser

AUTO = "auto"
"""As a token: a fresh one."""

LEAST = 8
"""Characters of a token."""

REFUSED = "This page needs its token: open the whole address that was printed where it was started."

_patching = threading.Lock()


@dataclass(frozen=True, slots=True)
class Access:
    """Where a page is served, and what it takes to see it."""

    host: str
    token: str | None

    @property
    def cookie(self) -> str:
        """Name of the cookie; another page of this machine has another."""
        return f"reach_rl_{hashlib.sha256((self.token or '').encode()).hexdigest()[:8]}"

    def url(self, port: int) -> str:
        """What to type into a browser."""
        host = socket.gethostname() if _is_everywhere(self.host) else self.host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}" + (f"/?token={quote(self.token)}" if self.token else "")

    def refusal(self, target: str, headers: Mapping[str, str]) -> str | None:
        """Why a request is not answered; None if it is.

        Args:
            target: of the request: path and query.
            headers: of the request; names in lower case.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "pages of other sites may not use this one"
        if self.token is None:
            name = urlsplit(f"//{host}").hostname or ""
            return None if is_local(name) else "this page is served under this machine's own name"
        given = (self._in_query(target), self._in_cookie(headers.get("cookie", "")))
        return None if any(map(self._is_token, given)) else REFUSED

    def knows(self, target: str) -> bool:
        """Whether the token is in the address itself."""
        return self.token is not None and self._is_token(self._in_query(target))

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), (self.token or "").encode())

    def _in_query(self, target: str) -> str:
        return parse_qs(urlsplit(target).query).get("token", [""])[-1]

    def _in_cookie(self, text: str) -> str:
        try:
            found = SimpleCookie(text).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value


def access(host: str, token: str | None) -> Access:
    """What it takes to see a page on this host.

    Args:
        host: address to serve on.
        token: what to ask for; auto: a fresh one; None: nothing, on this machine's own address.

    Raises:
        ConfigError: others could see the page without a token, or it is easily guessed.
    """
    if token == AUTO:
        token = secrets.token_urlsafe(18)
    if token is None and not is_local(host):
        raise ConfigError(
            f"host={host}: other machines could see and steer this page; add token=auto, or leave "
            f"host=127.0.0.1 and come by ssh -L"
        )
    if token is not None and (len(token) < LEAST or not token.isascii() or not token.isprintable()):
        raise ConfigError(f"token: needs at least {LEAST} plain characters; try token=auto")
    return Access(host, token)


def is_local(host: str) -> bool:
    """Whether a name or address is this machine's own, that nobody else can reach."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_everywhere(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")


@contextmanager
def open_server(
    host: str, port: int, token: str | None = None
) -> Iterator[tuple["viser.ViserServer", str]]:
    """A viser server that lets in whom it should, and the address to open; stopped in the end.

    Raises:
        ConfigError: see access(); or the server does not take the check, and so is not opened.
    """
    import viser

    allowed = access(host, token)
    unheard = io.StringIO()  # its banner shows an address without the token
    with _guarding(allowed) as guarded, redirect_stdout(unheard):
        server = viser.ViserServer(host, port, verbose=False)
    try:
        if not guarded or (allowed.token and not _refuses(allowed, server.get_port())):
            raise ConfigError(
                f"viser {viser.__version__} cannot be kept from answering everybody; "
                f"try pip install 'viser<1.2'"
            )
        yield server, allowed.url(server.get_port())
    finally:
        with redirect_stdout(unheard):
            server.stop()


@contextmanager
def _guarding(allowed: Access) -> Iterator[list[bool]]:
    """Servers of the websockets library that start meanwhile ask this access first."""
    import websockets.asyncio.server as library

    plain, guarded = library.serve, []

    def serve(*arguments: Any, process_request: Any = None, **more: Any) -> Any:  # noqa: ANN401
        guarded.append(True)
        quiet = logging.getLogger("reach_rl.page")  # browsers open connections and leave them
        quiet.setLevel(logging.CRITICAL)
        check = _checking(allowed, process_request)
        return plain(*arguments, process_request=check, **{"logger": quiet, **more})

    with _patching:
        library.serve = serve  # type: ignore[assignment,misc]
        try:
            yield guarded
        finally:
            library.serve = plain  # type: ignore[misc]


def _checking(allowed: Access, inner: Callable[..., Any] | None) -> Callable[..., Any]:
    """A request handler of the websockets library that asks first."""
    from http import HTTPStatus

    from websockets.datastructures import Headers
    from websockets.http11 import Request, Response

    def process(connection: Any, request: Request) -> Response | None:  # noqa: ANN401
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        reason = allowed.refusal(request.path, headers)
        if reason is not None:
            body = f"{reason}\n".encode()
            own = Headers(**{"Content-Type": "text/plain", "Content-Length": str(len(body))})
            return Response(HTTPStatus.FORBIDDEN.value, "Forbidden", own, body)
        response = inner(connection, request) if inner is not None else None
        if response is not None and allowed.knows(request.path):
            value = f"{allowed.cookie}={allowed.token}; Path=/; HttpOnly; SameSite=Strict"
            response.headers["Set-Cookie"] = value
        return response

    return process


def _refuses(allowed: Access, port: int) -> bool:
    """Whether the server turns away who does not know the token."""
    import http.client

    host = "127.0.0.1" if _is_everywhere(allowed.host) else allowed.host
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 403
    except OSError:
        return True
    finally:
        connection.close()
