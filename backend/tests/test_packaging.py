"""What a fresh machine and a container run: the lock file, the Dockerfile, the recipes.

No container engine is needed: the Dockerfile's own commands run in a new virtual environment, in a
folder that holds exactly the files that the image would.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
UV = os.environ.get("UV") or shutil.which("uv")

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 180
HEALTH_RETRIES = 3  # by default, and in our Dockerfile


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


# ------------------------------------------------------------------------------ requirements.lock


def pyproject_requirements() -> list[Requirement]:
    return [
        Requirement(line)
        for line in tomllib.loads(read("pyproject.toml"))["project"]["dependencies"]
    ]


def locked() -> dict[str, tuple[Requirement, list[str]]]:
    """Return each package of requirements.lock: its requirement, and the options that follow it."""
    text = re.sub(r"^\s*#.*\n", "", read("requirements.lock"), flags=re.MULTILINE)
    packages: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        requirement_text, *options = line.split(" --")
        requirement = Requirement(requirement_text)
        packages[canonicalize_name(requirement.name)] = (requirement, [o.strip() for o in options])
    return packages


def test_the_lock_pins_every_package_by_version_and_hash() -> None:
    packages = locked()
    assert packages
    for requirement, options in packages.values():
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], requirement
        assert options, requirement
        assert all(re.fullmatch(r"hash=sha256:[0-9a-f]{64}", option) for option in options)


def test_the_lock_names_no_address() -> None:
    assert "://" not in read("requirements.lock")


@pytest.mark.parametrize("requirement", pyproject_requirements(), ids=lambda each: each.name)
def test_the_lock_is_within_the_bounds_of_pyproject(requirement: Requirement) -> None:
    pinned, _ = locked()[canonicalize_name(requirement.name)]
    (version,) = (specifier.version for specifier in pinned.specifier)
    assert requirement.specifier.contains(version)


# ------------------------------------------------------------------------------------- Dockerfile


class Instruction(NamedTuple):
    name: str
    arguments: str


def dockerfile() -> list[Instruction]:
    lines = read("Dockerfile").replace("\\\n", " ").splitlines()
    return [
        Instruction(*line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")
    ]


def arguments_of(name: str) -> list[str]:
    """Return the arguments of every instruction of that name, in the file's order."""
    return [instruction.arguments for instruction in dockerfile() if instruction.name == name]


def command_of(name: str) -> list[str]:
    """Return the command of CMD or HEALTHCHECK, which has to be in the exec form."""
    (arguments,) = arguments_of(name)
    command: list[str] = json.loads(arguments[arguments.index("[") :])
    return command


class Image(NamedTuple):
    app: Path
    environment: dict[str, str]

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.app,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )


def copy_files(app: Path) -> None:
    """Carry out the COPY instructions on what .dockerignore lets through."""
    patterns = read(".dockerignore").split()
    assert patterns[0] == "*"  # nothing but what the rest of the file admits
    left_out = [pattern.removeprefix("**/") for pattern in patterns if pattern.startswith("**/")]
    for arguments in arguments_of("COPY"):
        source, target = arguments.split()
        assert f"!{source}" in patterns
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, app / target, ignore=shutil.ignore_patterns(*left_out))
        else:
            shutil.copy(ROOT / source, app / target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image's files, packages and environment, on a free port of the loopback address."""
    folder = tmp_path_factory.mktemp("image")
    app, venv = folder / "app", folder / "venv"
    app.mkdir()
    copy_files(app)

    # Kept until the end, so that nobody else is given the port while the packages are installed.
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    ours = {"VIRTUAL_ENV", "PYTHONPATH", "PYTEST_CURRENT_TEST"}
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ours and not name.startswith(("BURBLE_", "GUNICORN_"))
    }
    declared = dict(pair.split("=", 1) for line in arguments_of("ENV") for pair in line.split())
    assert "BURBLE_BIND" in declared  # the health check reads it
    environment = {
        **inherited,
        **declared,
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "VIRTUAL_ENV": str(venv),
        "BURBLE_BIND": f"127.0.0.1:{port}",
        "BURBLE_RUNTIME_DIR": str(folder / "run"),
        "BURBLE_SIMULATED_MIN_DELAY_MS": "0",
        "BURBLE_SIMULATED_MAX_DELAY_MS": "1",
    }

    (install,) = (shlex.split(line) for line in arguments_of("RUN") if line.startswith("pip "))
    if UV:  # its own `pip install` takes the same arguments, a tenth of the time, and its cache
        subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, venv], check=True)
        install = [UV, *install]
    else:
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run(install, cwd=app, env=environment, check=True)
    with reserved:
        yield Image(app, environment)


@pytest.fixture
def server(image: Image) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command_of("CMD"), cwd=image.app, env=image.environment, start_new_session=True
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(600)
def test_what_the_image_holds_installs_starts_answers_and_stops(
    image: Image, server: subprocess.Popen[bytes]
) -> None:
    url = f"http://{image.environment['BURBLE_BIND']}"
    deadline = time.monotonic() + START_TIMEOUT_S
    with httpx.Client(base_url=url, timeout=START_TIMEOUT_S, trust_env=False) as client:
        while True:
            assert server.poll() is None
            assert time.monotonic() < deadline
            try:
                health = client.get("/health")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        assert health.status_code == 200
        checks = (image.run(command_of("HEALTHCHECK")) for _ in range(HEALTH_RETRIES))
        assert any(check.returncode == 0 for check in checks)

        assert client.get("/").headers["content-type"].startswith("text/html")
        for path in ("/service_worker.js", "/manifest.webmanifest", "/icons/192.png"):
            assert client.get(path).status_code == 200
        answer = client.post("/chat/sync", json={"prompt": "hello"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["response"]

    server.terminate()
    assert server.wait(STOP_TIMEOUT_S) == 0
    assert image.run(command_of("HEALTHCHECK")).returncode != 0


def test_the_container_does_not_run_as_root() -> None:
    names = [instruction.name for instruction in dockerfile()]
    assert names.index("USER") < names.index("CMD")
    (user,) = arguments_of("USER")
    assert user not in ("root", "0")
    assert any(re.search(rf"^useradd\b.* {user}$", line) for line in arguments_of("RUN"))


# ----------------------------------------------------------------------------- docker-compose.yml


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))
    return loaded


def graceful_timeout(tmp_path: Path) -> int:
    """Return the seconds that gunicorn gives its workers to stop, by default."""
    command = [sys.executable, "-c", "import gunicorn_conf; print(gunicorn_conf.graceful_timeout)"]
    environment = {"PYTHONPATH": str(ROOT), "BURBLE_RUNTIME_DIR": str(tmp_path / "run")}
    # Out of reach of a .env.
    return int(subprocess.check_output(command, cwd=tmp_path, env=environment))


def test_compose_serves_the_page_from_the_working_tree_to_developers_alone() -> None:
    (workdir,) = arguments_of("WORKDIR")
    services = compose()["services"]
    assert services["burble"]["volumes"] == [f"./frontend:{workdir}/frontend:ro"]
    assert "profiles" not in services["burble"]
    assert not any(workdir in volume for volume in services["production"]["volumes"])


def test_compose_waits_longer_than_gunicorn_lets_answers_finish(tmp_path: Path) -> None:
    periods = [
        int(service["stop_grace_period"].removesuffix("s"))
        for service in compose()["services"].values()
    ]
    assert len(periods) == 3
    assert min(periods) > graceful_timeout(tmp_path)


def test_in_production_compose_has_a_proxy_between_the_network_and_burble() -> None:
    services = compose()["services"]
    burble, proxy = services["production"], services["https"]
    assert "ports" not in burble
    assert (
        proxy["environment"]["UPSTREAM"]
        == f"production:{burble['environment']['BURBLE_BIND'][-4:]}"
    )
    for service in (burble, proxy):
        assert service["profiles"] == ["production"]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges"]
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert f"./{Path('ops/Caddyfile')}:/etc/caddy/Caddyfile:ro" in proxy["volumes"]


def test_in_production_compose_keeps_the_state_and_wants_keys() -> None:
    burble = compose()["services"]["production"]
    state = burble["environment"]["BURBLE_STATE_DIR"]
    assert burble["volumes"] == [f"state:{state}"]
    # A new volume takes its owner and mode from the image.
    assert any(line.endswith(f"--owner burble --mode 0700 {state}") for line in arguments_of("RUN"))
    (secret,) = burble["secrets"]
    assert burble["environment"]["BURBLE_API_KEYS_FILE"] == f"/run/secrets/{secret}"
    assert compose()["secrets"] == {secret: {"file": f"./{secret}"}}
    assert git("check-ignore", "--no-index", secret) == [secret]


def test_compose_accepts_its_file() -> None:
    compose = ["docker", "compose", "--file", "docker-compose.yml"]
    if (
        not shutil.which("docker")
        or subprocess.run([*compose, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("there is no docker client with compose on this machine")
    subprocess.run([*compose, "config", "--quiet"], cwd=ROOT, check=True)


# ----------------------------------------------------------------------------- ops/burble.service


def unit(option: str) -> str:
    """Return the value of an option of the service that is said once."""
    (value,) = re.findall(rf"^{option}=(.*)$", read("ops/burble.service"), re.MULTILINE)
    return str(value)


def test_systemd_waits_longer_than_gunicorn_lets_answers_finish(tmp_path: Path) -> None:
    assert int(unit("TimeoutStopSec")) > graceful_timeout(tmp_path)


def test_systemd_makes_the_private_folders_that_burble_is_told_of() -> None:
    told = " ".join(re.findall(r"^Environment=(.*)$", read("ops/burble.service"), re.MULTILINE))
    assert f"BURBLE_STATE_DIR=/var/lib/{unit('StateDirectory')}" in told
    assert f"BURBLE_RUNTIME_DIR=/run/{unit('RuntimeDirectory')}" in told
    assert unit("StateDirectoryMode") == unit("RuntimeDirectoryMode") == "0700"


def test_systemd_accepts_its_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze on this machine")
    program = unit("ExecStart").split()[0]
    here = read("ops/burble.service").replace(
        program, str(Path(sys.executable).with_name("gunicorn"))
    )
    (tmp_path / "burble.service").write_text(here)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "burble.service")]
    verified = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")


# --------------------------------------------------------------------------------- the repository


def git(*arguments: str) -> list[str]:
    """Return the paths that a git command lists."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this copy of the sources is not a git checkout, or there is no git")
    command = ["git", "-c", "core.quotePath=off", *arguments]
    listing = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return listing.stdout.splitlines()


# Written so that it does not match itself.
REGISTRY = re.compile(
    rb"\b(pypi|pythonhosted|npmjs|yarnpkg|debian|crates|jsdelivr|unpkg)\.(org|com|io|net)\b"
    rb"|(index-url|find-links|registry)[ =]+\S*://",
    re.IGNORECASE,
)


def test_no_file_carries_the_address_of_a_registry() -> None:
    # With those that would go into the repository with the next commit.
    listed = git("ls-files", "--cached", "--others", "--exclude-standard")
    assert "pyproject.toml" in listed
    files = [path for path in map(ROOT.joinpath, listed) if path.is_file()]
    assert [path for path in files if REGISTRY.search(path.read_bytes())] == []


@pytest.mark.parametrize(
    "made", ["uv.lock", ".env", "keys", ".venv/x", ".cache/x", "backend/__pycache__/x"]
)
def test_what_a_machine_makes_for_itself_stays_out_of_the_repository(made: str) -> None:
    assert git("ls-files", made) == []
    assert git("check-ignore", "--no-index", made) == [made]


# -------------------------------------------------------------------------------------- the recipes


def just(*arguments: str) -> str:
    return subprocess.run(
        [Path(sys.executable).with_name("just"), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def test_just_alone_lists_every_recipe_with_its_help() -> None:
    recipes = json.loads(just("--dump", "--dump-format", "json"))["recipes"]
    public = {name: recipe["doc"] for name, recipe in recipes.items() if not recipe["private"]}
    assert {"up", "dev", "test", "e2e", "lint", "format", "bench", "lock"} <= public.keys()
    listing = just()
    for name, help_text in public.items():
        assert help_text, name
        assert re.search(rf"^ +{name}\b.*# {re.escape(help_text)}$", listing, re.MULTILINE)


def test_continuous_integration_runs_the_command_that_the_readme_gives() -> None:
    pattern = re.search(r"grep -oE -m1 '(.*)' README.md", read(".ci/run"))
    assert pattern
    commands = re.findall(pattern[1], read("README.md"), re.MULTILINE)
    assert [command.strip() for command in commands] == ["pip install uv && uv run just test"]
