"""Serving the page: nothing is sent to or fetched from anywhere else."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.middleware import Middleware

from slm_espnet.demo.page import Page
from slm_espnet.demo.show import style
from slm_espnet.errors import UserError

if TYPE_CHECKING:
    from slm_espnet.api.model import SLMInference

LOCAL = "127.0.0.1"
FONTS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif")
MONOSPACED = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")
# Gradio's own page has scripts and styles in it; what would come from another host is refused by the browser.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
MICROPHONE = "microphone=(self), camera=(), geolocation=()"


@dataclass(frozen=True)
class Address:
    """Where the page is served."""

    host: str = LOCAL  # 0.0.0.0: for other machines too
    port: int | None = None  # None: the first free one from 7860 on
    ssl_certfile: Path | None = None  # both for https, which browsers ask of a page that records
    ssl_keyfile: Path | None = None
    max_megabytes: int = 200  # of a file

    def __post_init__(self) -> None:
        if (self.ssl_certfile is None) != (self.ssl_keyfile is None):
            raise UserError("--ssl_certfile and --ssl_keyfile belong together")
        for path in filter(None, (self.ssl_certfile, self.ssl_keyfile)):
            if not path.is_file():
                raise UserError(f"{path} is not there; give a certificate and its key as PEM files")
        if self.port is not None and not 0 < self.port < 65536:
            raise UserError(f"--port {self.port} is not between 1 and 65535")
        if self.max_megabytes < 1:
            raise UserError("--max_megabytes must be at least 1")


class Headers:
    """Adds headers to every answer of an ASGI application."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        given = {"content-security-policy": POLICY, "permissions-policy": MICROPHONE, "referrer-policy": "no-referrer"}
        self.headers = [(name.encode(), value.encode()) for name, value in given.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on."""

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self.headers]}
            await send(message)

        await self.app(scope, receive, with_headers)


def serve(slm: SLMInference, name: str, address: Address) -> gr.Blocks:
    """Start the server in a thread of its own.

    Args:
        slm: the model.
        name: what it is called on the page.
        address: where.

    Returns:
        The page; `local_url` is its address, `block_thread()` waits for Ctrl-C, `close()` ends the server.

    Raises:
        UserError: the port is taken, or the host is not one of this machine's.
    """
    _without_proxy(address.host)
    blocks = Page(slm, name).blocks
    https = {} if address.ssl_certfile is None else {
        "ssl_certfile": str(address.ssl_certfile), "ssl_keyfile": str(address.ssl_keyfile), "ssl_verify": False,
    }  # fmt: skip  # the server asks itself whether it runs, by a name that no certificate has
    theme = gr.themes.Default(primary_hue="sky", font=list(FONTS), font_mono=list(MONOSPACED))
    try:
        blocks.queue(api_open=False).launch(
            server_name=address.host, server_port=address.port, max_file_size=f"{address.max_megabytes}mb", **https,
            share=False, ssr_mode=False, mcp_server=False, enable_monitoring=False, pwa=False, run_history=False,
            inline=False, inbrowser=False, prevent_thread_lock=True, quiet=True, footer_links=[],
            app_kwargs={"middleware": [Middleware(Headers)]}, theme=theme, head=style(),
        )  # fmt: skip
    except OSError as error:
        where = f"{address.host}, port {address.port or '7860 to 7959'}"
        raise UserError(f"the page cannot be served on {where}: {error}; give another --host or --port") from error
    return blocks


def _without_proxy(host: str) -> None:
    """Gradio asks its own server whether it runs; a proxy that the environment names must not get in between."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [os.environ.get(name, ""), LOCAL, "localhost", host]
        os.environ[name] = ",".join(filter(None, hosts))
