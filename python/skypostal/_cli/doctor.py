"""`skypostal doctor`: looks for what keeps an update from working, and changes nothing.

The requests go through the library, so that its TLS, its certificates and its proxy rules are
examined. They hold no secret, and no secret is shown.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import skypostal

from .. import _native
from .connection import add_connection, connection_arguments
from .exit_status import INTERRUPTED
from .output import (
    add_color,
    apply_display_options,
    colored,
    printable,
    say_error,
    to_json,
    write,
)

if TYPE_CHECKING:
    from .parser import Commands

MAX_SKEW_SECONDS = 300

_EPILOG = """\
It sends no credentials, so it cannot tell whether the service accepts them,
nor whether they are for the environment that is asked: only an update shows.

exit status:
  0    no problem was found; there may be warnings
  1    a problem was found
  2    the command cannot be run as given
  130  ended by Ctrl-C
"""


class Check(NamedTuple):
    check: str
    state: str
    """ok, warning or problem."""
    text: str
    advice: str = ""


class Route(NamedTuple):
    """The way of a request to the service."""

    url: str
    host: str
    proxy: str
    """The host and the port; empty without a proxy."""
    sources: dict[str, str]
    """Where each option came from: "default", "option" or the name of a variable."""

    @staticmethod
    def of(client: skypostal.Client) -> Route:
        from urllib.parse import urlsplit

        url, proxy, sources = client._route()
        return Route(url, urlsplit(url).hostname or "", proxy or "", sources)

    def source(self, option: str) -> str:
        """Returns what a person typed: the option of the command or the variable."""
        source = self.sources[option]
        return f"--{option.replace('_', '-')}" if source == "option" else source


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "doctor",
        help="look for what keeps updates from working",
        description="Looks for what keeps an update from working: configuration, name look-up,\n"
        "proxy, connection, TLS, the service's response, the clock. It changes nothing.",
        epilog=_EPILOG,
        usage="%(prog)s [option ...]",
    )
    parser.set_defaults(run=_run, parser=parser)
    add_connection(parser)
    group = parser.add_argument_group("output")
    group.add_argument("--json", action="store_true", help="write one JSON object, for programs")
    add_color(group)


def _run(args: argparse.Namespace) -> int:
    apply_display_options(args)
    found: list[Check] = []
    as_json = args.json
    try:
        for check in _checks(args):
            found.append(check)
            if not as_json:
                write(_lines(check))
    except KeyboardInterrupt:
        say_error("\nskypostal doctor: interrupted")
        return INTERRUPTED
    well = not any(check.state == "problem" for check in found)
    if as_json:
        write(to_json({"ok": well, "checks": [check._asdict() for check in found]}) + "\n")
    elif well:
        found_none = colored("No problem was found.", "ok", sys.stdout)
        write(f"\n{found_none} Only an update shows if the credentials are accepted.\n")
    return 0 if well else 1


def _lines(check: Check) -> str:
    import shutil
    import textwrap

    margin = " " * len(f"{check.state:<8} {check.check:<12} ")
    width = max(60, shutil.get_terminal_size().columns - 1)

    def wrapped(text: str, start: str, later: str) -> str:
        return textwrap.fill(printable(text), width, initial_indent=start, subsequent_indent=later,
                             break_long_words=False, break_on_hyphens=False) + "\n"  # fmt: skip

    lines = wrapped(check.text, f"{check.state:<8} {check.check:<12} ", margin)
    lines = colored(check.state, check.state, sys.stdout) + lines[len(check.state) :]
    advice = wrapped(check.advice, f"{margin}-> ", f"{margin}   ") if check.advice else ""
    return lines + advice


def _checks(args: argparse.Namespace) -> Iterator[Check]:
    yield _version()
    options = connection_arguments(args)
    try:
        # The credentials have no meaning: those of the environment are checked apart, and not sent.
        client = skypostal.Client(user_code=1, app_key="-", **options)
    except skypostal.ConfigurationError as error:
        yield from _credentials("")
        advice = "correct the option or the variable of that name"
        yield Check("settings", "problem", str(error), advice)
        return
    with client:
        route = Route.of(client)
        yield from _credentials(route.host)
        yield _address(args, route)
        yield _proxy(args, route)
        look_up = _look_up(route, options["connect_timeout"])
        yield look_up
        if look_up.state != "problem":
            yield from _response(client, route, _ca_file(args, route))


def _version() -> Check:
    import platform

    text = f"skypostal {skypostal.__version__}, Python {platform.python_version()}"
    return Check("version", "ok", f"{text}, {platform.system()} {platform.machine()}")


def _credentials(host: str) -> Iterator[Check]:
    file = os.environ.get("SKYPOSTAL_APP_KEY_FILE")
    key_name = "SKYPOSTAL_APP_KEY_FILE" if file else "SKYPOSTAL_APP_KEY"
    missing = [name for name in ("SKYPOSTAL_USER_CODE", key_name) if not os.environ.get(name)]
    try:
        # The library's own check, without the rest of the environment.
        skypostal.Client(base_url="http://localhost", trust_env=False).close()
    except skypostal.SkyPostalError as error:
        advice = "correct the file, or what names it" if file else "correct the variable"
        yield Check("credentials", "problem", str(error), advice)
        return
    key = _native._app_key() or ""
    if missing:
        text = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set"
        text += "".join(map(_meant_for, missing))
        advice = "set what SkyPostal gave you for this environment, unless your program gives it"
        yield Check("credentials", "warning", text, advice)
    elif key != key.strip() or key[0] in "\"'" or key[-1] in "\"'":
        text = f"{key_name}: the key begins or ends with a space or a quotation mark"
        yield Check("credentials", "warning", text, "leave the bare key there")
    elif _is_documented(key) and host.endswith("skypostal.com"):
        text = f"{key_name}: the key is the example of the public documentation"
        yield Check("credentials", "warning", text, "ask SkyPostal for your own")
    else:
        text = f"SKYPOSTAL_USER_CODE and {key_name} are set and well-formed"
        yield Check("credentials", "ok", text)


def _meant_for(name: str) -> str:
    """Returns a question about a variable whose name is nearly this one."""
    start = len("SKYPOSTAL")
    others = {other[start:]: other for other in os.environ if other[:start].upper() == "SKYPOSTAL"}
    near = _native._nearest(name[start:], list(others))
    return f"; did you mean {others[near]}?" if near is not None else ""


def _is_documented(key: str) -> bool:
    from skypostal.sandbox import APP_KEY

    return key == APP_KEY


def _address(args: argparse.Namespace, route: Route) -> Check:
    base_url, environment = route.source("base_url"), route.source("environment")
    if base_url != "default":
        source = f"from {base_url}"
    elif environment != "default":
        name = args.environment or os.environ[environment]
        source = f"environment {name}, from {environment}"
    else:
        source = "environment test, the default"
    text = f"{route.url.partition('/wcf-services/')[0]} ({source})"
    if route.url.startswith("http:") and args.allow_http:
        advice = "use https:// unless the host is this machine"
        return Check("address", "warning", f"{text}: keys are sent readable", advice)
    return Check("address", "ok", text)


def _proxy(args: argparse.Namespace, route: Route) -> Check:
    if route.proxy:
        source = route.source("proxy")
        source = "this system's settings" if source == "system" else source
        return Check("proxy", "ok", f"{route.proxy} (from {source})")
    named = [n for n in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy",
                         "ALL_PROXY") if _is_set(n)]  # fmt: skip
    if not args.trust_env:
        text = f"; {named[0]} is not read" if named else ""
        return Check("proxy", "ok", f"none: --no-trust-env{text}")
    scheme = route.url.partition(":")[0]
    of_scheme = [name for name in named if name.lower() in (f"{scheme}_proxy", "all_proxy")]
    if of_scheme:
        exempt = "no_proxy" if _is_set("no_proxy") else "NO_PROXY"
        text = f"none: {of_scheme[0]} is set, but {exempt} exempts {route.host}"
    elif named:
        text = f"none: {named[0]} is set, but it is for the other of http and https"
    else:
        return _no_proxy()
    return Check("proxy", "ok", text)


def _is_set(name: str) -> bool:
    """Returns whether a variable of exactly this name is set; Windows has capitals alone."""
    return name in list(os.environ) and os.environ[name] != ""


def _no_proxy() -> Check:
    if sys.platform == "win32":
        import winreg

        path = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings"
        try:
            with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as settings:
                winreg.QueryValueEx(settings, "AutoConfigURL")
        except OSError:
            pass
        else:
            text = "none: this system's settings name a PAC file, which is not read"
            advice = "if only a proxy reaches the Internet, set HTTPS_PROXY to the one it names"
            return Check("proxy", "warning", text, advice)
    if sys.platform in ("win32", "darwin"):
        return Check("proxy", "ok", "none: no variable and no setting of this system names one")
    return Check("proxy", "ok", "none: no variable names one")


def _look_up(route: Route, timeout: float) -> Check:
    import socket
    import threading

    host, whose = route.host, ""
    if route.proxy:
        host, whose = route.proxy.rpartition(":")[0], " (the proxy, which looks up the service)"
    host = host.strip("[]")
    if ":" in host or host.replace(".", "").isdigit():
        return Check("name", "ok", f"{host} is an address, nothing to look up{whose}")
    found: list[str] = []
    problems: list[OSError] = []

    def look_up() -> None:
        try:
            results = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.extend(dict.fromkeys(str(result[4][0]) for result in results))
        except (OSError, UnicodeError) as problem:
            problems.append(problem if isinstance(problem, OSError) else OSError(str(problem)))

    # In a thread, which can be abandoned: the system's look-up has no deadline.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(timeout)
    if found:
        return Check("name", "ok", f"{host} is {', '.join(found[:3])}{whose}")
    if not problems:
        advice = "check the network and the name servers of this machine"
        return Check("name", "problem", f"no address of {host} within {timeout:g} s", advice)
    if getattr(problems[0], "errno", None) == socket.EAI_AGAIN:
        advice = "is this machine online? check the network and its name servers"
    else:
        advice = "is the name spelt right, and this machine online?"
        if not route.proxy:
            advice += " Where only a proxy reaches the Internet, set HTTPS_PROXY"
    text = f"{host} is not found{whose}: {problems[0].strerror or problems[0]}"
    return Check("name", "problem", text, advice)


def _response(client: skypostal.Client, route: Route, ca_file: str) -> Iterator[Check]:
    import time

    try:
        probe = client._probe()
    except skypostal.TlsError as error:
        yield Check("connection", "ok", "open")
        proxy = route.source("proxy") if getattr(error, "_at_proxy", False) else ""
        yield Check("tls", "problem", error.message, _tls_advice(_cause_of(error), proxy))
        return
    except skypostal.ConnectError as error:
        yield Check(
            "connection", "problem", error.message, _connection_advice(_cause_of(error), route)
        )
        return
    except skypostal.SkyPostalError as error:
        if isinstance(error, skypostal.RequestTimeoutError) and not _accepts(route):
            yield Check("connection", "problem", error.message, _connection_advice(None, route))
            return
        yield Check("connection", "ok", "open")
        advice = "something on the way, or the service, accepts connections and does not respond"
        advice += "; try again later"
        if not route.proxy and _speaks_tls(route):
            advice = "the server there speaks TLS: give an https:// address"
        yield Check("service", "problem", error.message, advice)
        return
    yield Check("connection", "ok", "open")
    if probe["tls"]:
        yield Check("tls", "ok", f"the certificate is trusted by {_trusted(ca_file)}")
    else:
        yield Check("tls", "ok", "none: plain http://")
    yield _service(probe["status"], probe["elapsed"])
    yield _clock(probe["date"], time.time())


def _accepts(route: Route) -> bool:
    """Returns whether the proxy or the service takes a connection."""
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(f"//{route.proxy}" if route.proxy else route.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=2).close()
    except OSError:
        return False
    return True


def _speaks_tls(route: Route) -> bool:
    """Returns whether the port of an http:// address takes a TLS handshake."""
    import socket
    import ssl
    from urllib.parse import urlsplit

    parts = urlsplit(route.url)
    if parts.scheme != "http":
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((route.host, parts.port or 80), timeout=2) as connection:
            context.wrap_socket(connection).close()
    except (OSError, ValueError):
        return False
    return True


def _cause_of(error: skypostal.ConnectError) -> str | None:
    """Returns the cause that the probe found: a word of the core's `ConnectCause`."""
    cause: str | None = getattr(error, "_cause", None)
    return cause


def _ca_file(args: argparse.Namespace, route: Route) -> str:
    return args.ca_file or os.environ.get(route.sources["ca_file"], "")


def _trusted(ca_file: str) -> str:
    names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]
    trusted = (
        f"the certificates of {' and '.join(names)}" if names else "this system's certificates"
    )
    return trusted + (f" or by {ca_file}" if ca_file else "")


def _tls_advice(cause: str | None, proxy: str) -> str:
    """Returns what to do. If the handshake with the proxy failed, `proxy` names what set it."""
    import time

    if cause == "unknown_issuer":
        advice = ("where a company's proxy or firewall looks into TLS, give its certificate:"
                  " --ca-file FILE or REQUESTS_CA_BUNDLE")  # fmt: skip
        others = ("CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_CERT")
        other = next((name for name in others if os.environ.get(name)), None)
        return advice + (f"; {other} names {os.environ[other]}, try that" if other else "")
    if cause == "outside_validity":
        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        return f"this machine believes that it is {now}: if that is wrong, set its clock"
    if cause == "other_host" and proxy:
        return f"give the proxy by the name that its certificate has: {proxy}"
    if cause == "not_tls" and proxy:
        return f"the proxy does not speak TLS: its address begins with http://, in {proxy}"
    if cause == "other_host":
        return "is the address right? A public network may ask you to sign in first"
    if cause == "not_tls":
        return "the server there does not speak TLS: is the port right, or is it http://?"
    return "something on the way, or the service, ends the handshake: an old proxy or firewall?"


def _connection_advice(cause: str | None, route: Route) -> str:
    if route.proxy:
        return (
            f"is the proxy right, and may it reach {route.host}? One that wants a user name and a"
            " password gets them by HTTPS_PROXY=http://user:password@host:port"
        )
    if cause == "refused":
        return "no server listens there: is the address right, is the server running?"
    return "a firewall may be in between; where only a proxy may pass, set HTTPS_PROXY"


def _service(status: int, seconds: float) -> Check:
    text = f"HTTP {status} in {seconds * 1000:.0f} ms"
    if status == 405:
        return Check("service", "ok", f"there: {text}, as expected of a look without an update")
    if status == 404:
        advice = "check --base-url and SKYPOSTAL_BASE_URL: a server is there, the service is not"
    elif 300 <= status < 400:
        advice = "something sends elsewhere: the address is wrong, or a network wants a sign-in"
    elif status in (401, 403, 407):
        advice = "a proxy or a firewall keeps this machine out"
    elif status >= 500 or status in (408, 429):
        advice = "the service, or a proxy before it, is in trouble: try again later"
    else:
        advice = "another server responds in the service's place: is the address right?"
    return Check("service", "problem", f"{text}, where 405 is expected", advice)


def _clock(theirs: float | None, ours: float) -> Check:
    if theirs is None:
        return Check("clock", "ok", "not compared: the response has no date")
    skew = ours - theirs
    if abs(skew) <= MAX_SKEW_SECONDS:
        return Check("clock", "ok", f"{abs(skew):.0f} s from the service's")
    import datetime

    behind = "ahead of" if skew > 0 else "behind"
    text = f"{datetime.timedelta(seconds=round(abs(skew)))} {behind} the service's"
    advice = "set this machine's clock: certificates and birth dates are checked by it"
    return Check("clock", "warning", text, advice)
