"""Who may open a page: on a real viser server, by HTTP and by WebSocket."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest
import viser
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from reach_rl.config.problems import ConfigError
from reach_rl.viz.access import Access, access, open_server

LOCAL = {"host": "127.0.0.1:8080"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.0.3", "LocalHost"])
def test_this_machine_needs_no_token(host):
    assert access(host, None) == Access(host, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "my.server", "", "127.0.0.1.x"])
def test_any_other_address_needs_one(host):
    with pytest.raises(ConfigError) as caught:
        access(host, None)
    (line,) = caught.value.problems
    assert line.startswith(f"host={host}: ") and "token=auto" in line and "\n" not in line
    assert len(access(host, "auto").token) >= 20
    assert access(host, "auto") != access(host, "auto")
    assert access(host, "correct-horse").token == "correct-horse"


@pytest.mark.parametrize("token", ["", "short", "nine\nlines", "schlüsselchen"])
def test_a_token_is_long_and_plain(token):
    with pytest.raises(ConfigError, match="try token=auto"):
        access("127.0.0.1", token)


def test_addresses():
    assert access("127.0.0.1", None).url(8080) == "http://127.0.0.1:8080"
    assert access("::1", None).url(80) == "http://[::1]:80"
    assert access("10.0.0.2", "a b&c=d+e").url(81) == "http://10.0.0.2:81/?token=a%20b%26c%3Dd%2Be"
    assert urlsplit(access("0.0.0.0", "auto").url(9)).hostname == socket.gethostname().lower()


def test_without_a_token_only_this_machines_names_are_answered():
    """A name of the web that points to 127.0.0.1 is a page trying to steer ours."""
    page = access("127.0.0.1", None)
    for host in ("127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost"):
        assert page.refusal("/", {"host": host}) is None
        assert page.refusal("/", {"host": host, "origin": f"http://{host}"}) is None
    for host in ("evil.example:8080", "", "192.168.1.7:8080", "localhost.evil.example"):
        assert page.refusal("/", {"host": host}) is not None


def test_other_sites_are_refused_everywhere():
    for page in (access("127.0.0.1", None), access("0.0.0.0", "correct-horse")):
        for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", ""):
            headers = {**LOCAL, "origin": origin}
            assert page.refusal("/?token=correct-horse", headers) is not None
        assert (
            page.refusal("/?token=correct-horse", {**LOCAL, "origin": "http://127.0.0.1:8080"})
            is None
        )


def test_the_token_is_looked_for_in_address_and_cookie():
    page = access("0.0.0.0", "correct-horse")
    anywhere = {"host": "my.server:8080"}
    good = {**anywhere, "cookie": f"other=1; {page.cookie}=correct-horse"}
    assert page.refusal("/", good) is None
    assert page.refusal("/x?a=b&token=correct-horse", anywhere) is None
    for cookie in (
        f"{page.cookie}=wrong",
        "reach_rl_token=correct-horse",
        "=;;\x00",
        f"{page.cookie}=",
    ):
        assert page.refusal("/", {**anywhere, "cookie": cookie}) is not None
    for target in ("/", "/?token=", "/?token=correct-hors", "/?token=correct-horse%00", "//?"):
        assert page.refusal(target, anywhere) is not None


def get(port, target, **headers):
    """Status, headers and body of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", target, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def opens(port, target="/", **headers):
    """Whether a WebSocket gets to viser, which then sends its scene."""
    protocol = f"viser-v{viser.__version__}"
    try:
        with connect(
            f"ws://127.0.0.1:{port}{target}",
            subprotocols=[protocol],
            additional_headers=headers,
            max_size=None,
        ) as page:
            return len(page.recv(timeout=10)) > 0
    except InvalidStatus as refused:
        assert refused.response.status_code == 403
        return False


@pytest.fixture(scope="module")
def guarded():
    """A server for everybody who knows the token."""
    with open_server("0.0.0.0", 0, "correct-horse") as (server, url):
        assert url.endswith("/?token=correct-horse")
        server.scene.add_frame("/frame")
        yield server.get_port()


def test_a_page_for_others_asks_for_its_token(guarded):
    for target in ("/", "/index.html", "/?token=wrong-horse"):
        status, headers, body = get(guarded, target)
        assert status == 403
        assert b"needs its token" in body and len(body) < 200
        assert "Set-Cookie" not in headers
    status, headers, body = get(guarded, "/?token=correct-horse")
    assert status == 200 and b"<html" in body.lower()
    name, _, rest = headers["Set-Cookie"].partition("=")
    assert rest == "correct-horse; Path=/; HttpOnly; SameSite=Strict"
    status, headers, _ = get(guarded, "/", Cookie=f"{name}=correct-horse")
    assert status == 200 and "Set-Cookie" not in headers


def test_a_websocket_without_the_token_is_refused(guarded):
    assert not opens(guarded)
    assert not opens(guarded, "/?token=wrong-horse")
    assert not opens(guarded, Cookie="reach_rl=correct-horse")
    cookie = f"{Access('0.0.0.0', 'correct-horse').cookie}=correct-horse"
    assert opens(guarded, Cookie=cookie)
    assert opens(guarded, "/?token=correct-horse")
    assert not opens(guarded, Cookie=cookie, Origin="http://evil.example")
    assert opens(guarded, Cookie=cookie, Origin=f"http://127.0.0.1:{guarded}")


def test_a_page_of_this_machine_is_open_to_it_alone():
    with open_server("127.0.0.1", 0) as (server, url):
        port = server.get_port()
        assert url == f"http://127.0.0.1:{port}"
        assert get(port, "/")[0] == 200
        assert opens(port)
        assert not opens(port, Origin="http://evil.example")
        assert get(port, "/", Host="evil.example")[0] == 403
    with pytest.raises(OSError):
        get(port, "/")


def test_servers_that_start_later_are_left_alone(guarded):
    server = viser.ViserServer("127.0.0.1", 0, verbose=False)
    try:
        assert get(server.get_port(), "/", Host="anything")[0] == 200
    finally:
        server.stop()


def test_a_server_that_does_not_ask_is_not_opened(monkeypatch):
    """A viser that starts its server in another way must not end up open to everybody."""
    plain = viser.ViserServer
    import websockets.asyncio.server as library

    serve = library.serve

    def other(*arguments, **more):
        library.serve = serve
        return plain(*arguments, **more)

    monkeypatch.setattr(viser, "ViserServer", other)
    with pytest.raises(ConfigError, match="cannot be kept from answering everybody"):  # noqa: SIM117
        with open_server("0.0.0.0", 0, "correct-horse"):
            pass
