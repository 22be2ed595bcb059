"""The proxies that `ops/` configures, in front of a stack: TLS on a free port of the loopback address."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import psutil

from e2e.stack import ROOT, free_port, wait_for

NGINX_MAIN = """
{user}
pid nginx.pid;
daemon off;
worker_processes 2;
events {{
    worker_connections 2048;
}}
http {{
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include burble.conf;
}}
"""
CADDY_MAIN = """
{{
	admin off
	skip_install_trust
	http_port {http_port}
	https_port {port}
	storage file_system {folder}/storage
}}
import {caddyfile}
"""


class Proxy:
    """One proxy, in front of whatever listens on a port; `tls` believes its certificate."""

    program: str

    def __init__(self, upstream_port: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="burble-proxy-"))
        self.port = free_port()
        self.http_port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.log_path = self.folder / "log"
        self._process: subprocess.Popen[bytes]
        self.tls = self._start(upstream_port)
        wait_for(self._speaks, f"{self.program} to speak TLS")

    @classmethod
    def executable(cls) -> str | None:
        """Return where the program is; Debian has it where only root looks for programs. None: it is not installed."""
        return shutil.which(cls.program, path=f"{os.environ['PATH']}:/usr/sbin")

    def stop(self) -> None:
        """End it at once, and cut every stream."""
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.folder)

    def _start(self, upstream_port: int) -> ssl.SSLContext:
        """Configure and run it; return what believes its certificate."""
        raise NotImplementedError

    def _run(self, *arguments: str, **environment: str) -> None:
        executable = self.executable()
        assert executable, f"{self.program} is not installed"
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [executable, *arguments],
                cwd=self.folder,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        wait_for(lambda: self._listens() or self._process.poll() is not None, self.program)
        assert self._process.poll() is None, self.log_path.read_text()

    def _listens(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def _speaks(self) -> bool:
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port)) as sock,
                self.tls.wrap_socket(sock, server_hostname="localhost"),
            ):
                return True
        except OSError:
            return False


class Nginx(Proxy):
    """nginx by `ops/nginx.conf`: ports and paths are the test's, and the subpath `/chat/burble/` is there as well."""

    program = "nginx"

    def reload(self) -> None:
        """Read the configuration again; return once new processes serve, beside the old ones that have streams."""
        before = self._workers()
        self._process.send_signal(signal.SIGHUP)
        wait_for(lambda: self._workers() - before, "new processes of nginx")

    def access_log(self) -> str:
        return (self.folder / "access.log").read_text()

    def _workers(self) -> set[int]:
        return {child.pid for child in psutil.Process(self._process.pid).children()}

    def _start(self, upstream_port: int) -> ssl.SSLContext:
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        subprocess.run(
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ),
                *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"),
                *("subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key),
            ],
            check=True,
            capture_output=True,
        )
        of_the_test = {
            "127.0.0.1:8000": f"127.0.0.1:{upstream_port}",
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{self.http_port};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "/etc/letsencrypt/live/chat.example.org/fullchain.pem": str(certificate),
            "/etc/letsencrypt/live/chat.example.org/privkey.pem": str(key),
            "/var/log/nginx/burble.log": str(self.folder / "access.log"),
            "    # location /chat/burble/ {\n"
            "    #     proxy_pass http://burble/;\n"
            "    # }\n": "location /chat/burble/ { proxy_pass http://burble/; }",
        }
        configuration = (ROOT / "ops" / "nginx.conf").read_text()
        for theirs, ours in of_the_test.items():
            assert theirs in configuration
            configuration = configuration.replace(theirs, ours)
        (self.folder / "burble.conf").write_text(configuration)
        main = self.folder / "nginx.conf"
        main.write_text(NGINX_MAIN.format(user="" if os.getuid() else "user root;"))
        self._run("-p", str(self.folder), "-c", str(main), "-e", "stderr")
        return ssl.create_default_context(cafile=certificate)


class Caddy(Proxy):
    """Caddy by `ops/Caddyfile`: with a certificate of its own for localhost."""

    program = "caddy"

    def _start(self, upstream_port: int) -> ssl.SSLContext:
        main = self.folder / "Caddyfile"
        main.write_text(
            CADDY_MAIN.format(
                folder=self.folder,
                port=self.port,
                http_port=self.http_port,
                caddyfile=ROOT / "ops" / "Caddyfile",
            )
        )
        self._run(
            *("run", "--adapter", "caddyfile", "--config", str(main)),
            HOME=str(self.folder),
            SITE="localhost",
            UPSTREAM=f"127.0.0.1:{upstream_port}",
        )
        root = self.folder / "storage" / "pki" / "authorities" / "local" / "root.crt"
        wait_for(root.exists, "the certificate of Caddy's own authority")
        return ssl.create_default_context(cafile=root)
