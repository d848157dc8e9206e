"""Who may come in: sign-in through OpenID Connect, and a list of addresses.

Both stand in `.streamlit/secrets.toml`:

    [auth]                                # as Streamlit's `st.login` wants it
    redirect_uri = "https://hits.example.org/oauth2callback"
    cookie_secret = "a long random text"
    client_id = "…"
    client_secret = "…"
    server_metadata_url = "https://…/.well-known/openid-configuration"

    [access]
    allow = ["ann@example.org", "@label.example"]   # addresses, domains; "*": all who can sign in
    trust_unverified = false   # true: also where the provider does not say that it checked them
    admins = ["ann@example.org"]           # who may see the state of the server
    metrics_token = "a long random text"   # with which a scraper reads its figures

Without either section nobody need sign in; the server then listens on this machine only, and who
works on this machine may see its state. What is configured by halves, or cannot be read, lets
nobody in.
"""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from ui.server import log

Verdict = Literal["enter", "sign in", "refused"]

MIN_SECRET = 32
"""Characters that a cookie's secret must have; who guesses it can sign in as anybody."""


@dataclass(frozen=True)
class Policy:
    """Whether sign-in is asked for, and whom it lets in.

    Example:
        >>> policy = Policy(required=True, allow=("ann@example.org", "@label.example"))
        >>> bob = {"is_logged_in": True, "email": "Bob@Label.example", "email_verified": True}
        >>> policy.verdict(bob), policy.verdict(bob | {"email": "bob@label.example.evil.org"})
        ('enter', 'refused')
        >>> policy.verdict({}), Policy(required=False).verdict({})
        ('sign in', 'enter')
    """

    required: bool
    """Whether anybody must sign in."""
    allow: tuple[str, ...] = ()
    """Addresses, domains that begin with @, or * for all whom the provider signs in."""
    trust_unverified: bool = False
    """Whether to believe addresses that the provider does not call verified."""
    providers: tuple[str, ...] = ()
    """Named providers; none for the one unnamed."""
    admins: tuple[str, ...] = ()
    """Addresses of those who may see the state of the server."""
    metrics_token: str | None = None
    """Whoever sends it may read the figures of the server."""
    fault: str | None = None
    """What is wrong with the settings; nobody may enter then."""

    def verdict(self, user: Mapping[str, Any]) -> Verdict:
        """What becomes of a visitor with these claims."""
        if not self.required:
            return "enter"
        if self.fault is not None:
            return "refused"
        if user.get("is_logged_in") is not True:
            return "sign in"
        return "enter" if self._lists(user, self.allow) else "refused"

    def is_admin(self, user: Mapping[str, Any]) -> bool:
        """Whether somebody with these claims may see the state of the server.

        Example:
            >>> policy = Policy(required=True, allow=("@label.example",), admins=("a@b.example",))
            >>> ann = {"is_logged_in": True, "email": "a@b.example", "email_verified": True}
            >>> policy.is_admin(ann)  # an admin who may not enter
            False
        """
        entered = self.required and self.verdict(user) == "enter"
        return entered and self._lists(user, self.admins)

    def is_token(self, given: str) -> bool:
        """Whether this is the token with which the figures of the server may be read."""
        known = self.metrics_token if self.fault is None else None
        return known is not None and hmac.compare_digest(given.encode(), known.encode())

    def _lists(self, user: Mapping[str, Any], entries: tuple[str, ...]) -> bool:
        if "*" in entries:
            return True
        address = user.get("email")
        if not isinstance(address, str) or address.count("@") != 1:
            return False
        verified = user.get("email_verified") in (True, "true")
        if not (verified or self.trust_unverified):
            return False
        address = address.casefold()
        listed = {entry.casefold() for entry in entries}
        return address in listed or address[address.index("@") :] in listed


OPEN = Policy(required=False)


def policy_of(secrets: Mapping[str, Any]) -> Policy:
    """The policy that the content of `secrets.toml` asks for.

    Example:
        >>> policy_of({}).required
        False
        >>> policy_of({"auth": {"client_id": "x", "cookie_secret": 32 * "?"}}).fault
        '[access] allow in secrets.toml lists nobody'
    """
    auth, access = secrets.get("auth"), secrets.get("access")
    if auth is None and access is None:
        return OPEN
    if not isinstance(auth, Mapping) or not auth:
        return _nobody("secrets.toml has [access] and no [auth]")
    if len(str(auth.get("cookie_secret", ""))) < MIN_SECRET:
        return _nobody(f"cookie_secret in secrets.toml is shorter than {MIN_SECRET} characters")
    access = access if isinstance(access, Mapping) else {}
    allow = access.get("allow")
    if not isinstance(allow, list | tuple) or not allow:
        return _nobody("[access] allow in secrets.toml lists nobody")
    if not all(isinstance(entry, str) and ("@" in entry or entry == "*") for entry in allow):
        return _nobody('[access] allow takes "name@domain", "@domain" and "*"')
    admins, token = access.get("admins", ()), access.get("metrics_token")
    if not isinstance(admins, list | tuple) or not all(
        isinstance(entry, str) and "@" in entry.strip("@") for entry in admins
    ):
        return _nobody('[access] admins takes "name@domain" alone')
    if token is not None and (not isinstance(token, str) or len(token) < MIN_SECRET):
        return _nobody(f"[access] metrics_token is shorter than {MIN_SECRET} characters")
    return Policy(
        required=True,
        allow=tuple(allow),
        trust_unverified=access.get("trust_unverified") is True,
        providers=tuple(
            name
            for name, value in auth.items()
            if isinstance(value, Mapping) and "client_id" in value
        ),
        admins=tuple(admins),
        metrics_token=token,
    )


def policy() -> Policy:
    """The policy of this server, as `secrets.toml` has it now."""
    if st.get_option("server.trustedUserHeaders"):
        return _nobody("server.trustedUserHeaders takes a visitor's word for who they are")
    try:
        return policy_of(st.secrets.to_dict())
    except StreamlitSecretNotFoundError:
        # Absent is one thing; there but unreadable must not open the door.
        if any(Path(file).exists() for file in st.get_option("secrets.files")):
            return _nobody("secrets.toml cannot be read")
        return OPEN


def enter() -> None:
    """Go on for those who may enter; show all others what they can do, and stop."""
    rules = policy()
    verdict = rules.verdict(st.user.to_dict())
    if verdict == "enter":
        return
    st.title("hitcore", anchor=False)
    if rules.fault is not None:
        st.error(
            "Nobody can sign in: the settings of this server are not complete. Its operator finds "
            "the reason in SECURITY.md, under Sign-in.",
            icon=":material/lock:",
        )
        log.warn("nobody may enter", reason=rules.fault)
    elif verdict == "sign in":
        st.markdown("The songs here are confidential. Sign in to go on.")
        for provider in rules.providers or (None,):
            label = "Sign in" if provider is None else f"Sign in with {provider.title()}"
            arguments = () if provider is None else (provider,)
            st.button(label, icon=":material/login:", on_click=st.login, args=arguments)
    else:
        st.error(
            "You are signed in, but not on the list of people who may use this server. Ask the "
            "person who runs it to add your address.",
            icon=":material/lock:",
        )
        st.button("Sign out", on_click=st.logout)
    st.stop()


def is_admin() -> bool:
    """Whether the visitor of this page may see the state of the server."""
    rules = policy()
    if rules.required:
        return rules.is_admin(st.user.to_dict())
    return is_local(st.context.ip_address or "127.0.0.1", st.context.headers)


def is_local(address: str, headers: Mapping[str, str]) -> bool:
    """Whether a request comes from this machine itself, to a server that is for it alone.

    A proxy on this machine passes on what strangers ask; it says so in a header.

    Example:
        >>> is_local("127.0.0.1", {}), is_local("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"})
        (True, False)
    """
    passed_on = {name.lower() for name in headers} & {"forwarded", "via", "x-forwarded-for"}
    return not passed_on and _is_loopback(address) and _is_loopback(st.get_option("server.address"))


def _is_loopback(address: str | None) -> bool:
    if address == "localhost":
        return True
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def sign_out_button() -> None:
    """Say who is signed in and offer the way out; nothing where nobody need sign in."""
    if not policy().required:
        return
    with st.sidebar:
        st.text(f"Signed in as {st.user.get('email') or st.user.get('sub')}")
        st.button("Sign out", icon=":material/logout:", on_click=st.logout)


def _nobody(fault: str) -> Policy:
    return Policy(required=True, fault=fault)
