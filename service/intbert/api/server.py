"""uvicorn with our shutdown: not ready first, then no new connections, then the rest is answered, all within bounds."""

import asyncio
import ctypes
import socket
import struct
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from structlog.typing import FilteringBoundLogger

from intbert.api.keys import load_keys
from intbert.api.protocol import BoundedProtocol
from intbert.config import Settings
from intbert.errors import ConfigError
from intbert.runtime.service import InferenceService
from intbert.telemetry.logs import log_libraries

BACKLOG = 2048
LINGER_S = 0.1
LINGER_MAX_S = 1.0
TICK_S = 0.02
SO_ATTACH_FILTER = 26  # Linux; Python's socket module has no name for it
RETURN_NOTHING = struct.pack("HBBI", 0x06, 0, 0, 0)  # one instruction of classic BPF: BPF_RET | BPF_K, 0 bytes


def bind(settings: Settings) -> socket.socket:
    """The listening socket. ConfigError when the address can't be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"can't listen on {settings.host}:{settings.port}: {reason}; choose another --host or --port"
        ) from None
    return listener


def drop_newcomers(listener: socket.socket) -> None:
    """Drop the packets of connections that want to begin; they try again in a second, and are refused by then.

    Best effort: where the kernel has no such filter, a connection begun in the last millisecond may be reset.
    """
    instruction = ctypes.create_string_buffer(RETURN_NOTHING)
    program = struct.pack("HP", 1, ctypes.addressof(instruction))  # struct sock_fprog: length, pointer
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def serve(app: ASGIApp, service: InferenceService, settings: Settings, logger: FilteringBoundLogger) -> None:
    """Serve until SIGTERM or SIGINT. A second signal stops waiting for idle clients, a third for all."""
    listener = bind(settings)
    log_libraries(["uvicorn.error", "opentelemetry"], logger, level="warning")
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=cast(type[asyncio.Protocol], partial(BoundedProtocol, head_timeout_s=settings.head_timeout_s)),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=max(1, round(settings.drain_timeout_s)),
    )
    host, port = listener.getsockname()[:2]
    _warn_if_open(settings, logger)
    logger.info("listening", address=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    Server(config, service, settings, logger).run(sockets=[listener])


def _warn_if_open(settings: Settings, logger: FilteringBoundLogger) -> None:
    keys = load_keys(settings)
    if not keys.local and not keys.inference:
        advice = "set INTBERT_API_KEYS or INTBERT_API_KEYS_FILE, or let only a trusted network reach this address"
        logger.warning(
            "anyone who reaches this address may use it: no API key is set", host=settings.host, advice=advice
        )


class Server(uvicorn.Server):
    """A signal first makes the service not ready; `drain_notice_s` later the listener closes."""

    def __init__(
        self, config: uvicorn.Config, service: InferenceService, settings: Settings, logger: FilteringBoundLogger
    ) -> None:
        super().__init__(config)
        self._service = service
        self._notice_s = settings.drain_notice_s
        self._logger = logger
        self._signals = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Closing a listener resets what the kernel accepted for it, so let nobody in, take those in, then close."""
        for listener in sockets or []:
            drop_newcomers(listener)
        waited_s = 0.0
        while waited_s < LINGER_S or (waited_s < LINGER_MAX_S and self._expects_requests()):
            await asyncio.sleep(TICK_S)
            waited_s += TICK_S
        await super().shutdown(sockets)

    def _expects_requests(self) -> bool:
        """Connections that have not sent their first request yet; uvicorn would close them."""
        return any(getattr(connection, "cycle", None) is None for connection in self.server_state.connections)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Runs between two instructions of the main thread: takes no lock, hands on to the loop."""
        self._signals += 1
        if self._signals > 1 or self._loop is None:
            self.force_exit = self._signals > 2
            self.should_exit = True
            return
        self._loop.call_soon_threadsafe(self._begin_drain, self._loop)

    def _begin_drain(self, loop: asyncio.AbstractEventLoop) -> None:
        self._logger.info("draining", notice_s=self._notice_s)
        self._service.drain()
        loop.call_later(self._notice_s, self._stop_listening)

    def _stop_listening(self) -> None:
        self.should_exit = True
