"""A real ComfyUI: found, started in a folder of its own, spoken to over HTTP and websocket, stopped."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PACK = Path(__file__).resolve().parents[2]
NODES = {page.stem for page in (PACK / "nodes" / "web" / "docs").glob("*.md")}  # each has a page
TEXT_EVENT = 3  # of binary messages; the others are previews
# Newer versions forget results of the very graph that they run when less than this many GB of memory are free: what the
# tests find must not depend on what other programs leave.
KEEP_RESULTS = ("--cache-ram", "0")
START_SECONDS, STOP_SECONDS, HISTORY_SECONDS = 600, 20, 20  # a busy machine takes minutes to start


def find_host() -> tuple[Path, Path] | str:
    """(folder, Python) of ComfyUI from COMFYUI_PATH and COMFYUI_PYTHON or the usual places, or why there is none."""
    folder = Path(os.environ.get("COMFYUI_PATH", "~/ComfyUI")).expanduser()
    if not (folder / "main.py").is_file():
        return f"no ComfyUI in {folder}: set COMFYUI_PATH to its folder"
    given = os.environ.get("COMFYUI_PYTHON")
    candidates = [Path(given)] if given else [folder / ".venv/bin/python", folder / "venv/bin/python"]
    for python in candidates:
        if python.exists():
            if missing := lacking(python):
                return f"{python} lacks {missing}: install the pack's requirements.txt with it"
            return folder, python
    return f"no Python for ComfyUI at {' or '.join(map(str, candidates))}: set COMFYUI_PYTHON"


def lacking(python: Path) -> str:
    """The pack's requirements that this Python cannot import. OpenCV may have come by any of its four packages."""
    lines = (PACK / "requirements.txt").read_text().splitlines()
    names = [line.split(">=")[0] for line in lines if not line.startswith("#")]
    modules = [{"pillow": "PIL", "opencv-python-headless": "cv2"}.get(name, name) for name in names]
    code = f"from importlib.util import find_spec; print(*[m for m in {modules} if not find_spec(m)])"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def version_of(folder: Path) -> tuple[int, ...]:
    text = (folder / "comfyui_version.py").read_text()
    return tuple(int(part) for part in text.split('"')[1].split("."))


def prepare_base(base: Path, pack: Path = PACK) -> None:
    """A base directory that holds nothing but this pack."""
    for name in ("custom_nodes", "models", "input", "output", "temp", "user"):
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "custom_nodes" / "ComfyUI-MotionInversion").symlink_to(pack)


def node_of(graph: dict[str, Any], kind: str) -> str:
    """The number of the first node of this kind in a graph of the API's format."""
    return next(number for number, node in graph.items() if node["class_type"] == kind)


def differences(prompt: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Where what would be queued is not what a workflow of the API's format says. An older ComfyUI has fewer inputs."""
    found: dict[str, Any] = {number: "is in one of them only" for number in prompt.keys() ^ expected.keys()}
    for number in prompt.keys() & expected.keys():
        kinds = prompt[number]["class_type"], expected[number]["class_type"]
        if kinds[0] != kinds[1]:
            found[number] = kinds
        for name, value in prompt[number]["inputs"].items():
            if expected[number]["inputs"].get(name) != value:
                found[f"{number}.{name}"] = value, expected[number]["inputs"].get(name)
    return found


@dataclass
class Run:
    """What became of one queued graph."""

    prompt_id: str
    outcome: str = ""  # execution_success, execution_error or execution_interrupted
    error: dict[str, Any] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    cached: list[str] = field(default_factory=list)
    progress: dict[str, list[int]] = field(default_factory=dict)
    previews: int = 0
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0


class Rejected(Exception):
    """The graph did not pass validation; the server's answer is the argument."""


class Server:
    """ComfyUI on a loopback port."""

    def __init__(
        self,
        folder: Path,
        python: Path,
        base: Path,
        environment: dict[str, str] | None = None,
        further: tuple[str, ...] = KEEP_RESULTS,
    ):
        self.folder, self.base = folder, base
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = ["--cpu", "--listen", "127.0.0.1", "--port", str(self.port), "--base-directory", str(base)]
        arguments += ["--database-url", "sqlite:///:memory:", "--preview-method", "auto", "--disable-api-nodes"]
        arguments += further
        self.log_path = base / f"server-{self.port}.log"
        self.log = self.log_path.open("w")
        self.process = subprocess.Popen(
            [str(python), "main.py", *arguments],
            cwd=folder,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )

    def __enter__(self) -> Server:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.get("/system_stats")
                return self
            except OSError:
                time.sleep(0.3)
        self.__exit__()
        raise RuntimeError(f"ComfyUI did not start:\n{self.log_path.read_text()[-3000:]}")

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def request(self, path: str, body: Any = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as answer:
            return answer.read()

    def get(self, path: str) -> Any:
        return json.loads(self.request(path))

    def submit(self, graph: dict[str, Any], client: str) -> str:
        """The id of the queued graph; raises Rejected with the server's answer."""
        try:
            return json.loads(self.request("/prompt", {"prompt": graph, "client_id": client}))["prompt_id"]
        except urllib.error.HTTPError as error:
            raise Rejected(json.loads(error.read())) from error

    def run(self, graph: dict[str, Any], timeout: float = 900) -> Run:
        """Queue a graph and follow it to its end."""
        return [run for run, _ in self.follow(graph, timeout)][-1]

    def follow(self, graph: dict[str, Any], timeout: float = 900) -> Iterator[tuple[Run, dict[str, Any]]]:
        """Queue a graph; yields its state after every message from the server."""
        import websocket

        client = uuid.uuid4().hex
        connection = websocket.create_connection(f"ws://127.0.0.1:{self.port}/ws?clientId={client}", timeout=timeout)
        began = time.monotonic()
        try:
            run = Run(self.submit(graph, client))
            while not run.outcome:
                message = connection.recv()
                if isinstance(message, bytes):
                    run.previews += int.from_bytes(message[:4], "big") != TEXT_EVENT
                    yield run, {"type": "preview"}
                    continue
                message = json.loads(message)
                _note(run, message)
                yield run, message
        finally:
            connection.close()
        run.seconds = time.monotonic() - began
        run.outputs = self.outputs(run.prompt_id)

    def outputs(self, prompt_id: str) -> dict[str, dict[str, Any]]:
        """From the history, which is written a moment after the end has been announced."""
        deadline = time.monotonic() + HISTORY_SECONDS
        while prompt_id not in (history := self.get(f"/history/{prompt_id}")):
            if time.monotonic() > deadline:
                raise RuntimeError(f"The history never had {prompt_id}.")
            time.sleep(0.05)
        return history[prompt_id]["outputs"]

    def file(self, entry: dict[str, str]) -> Path:
        """On disk, of an entry of a node's output."""
        return self.base / entry["type"] / entry["subfolder"] / entry["filename"]


def _note(run: Run, message: dict[str, Any]) -> None:
    kind, data = message["type"], message.get("data", {})
    if data.get("prompt_id", run.prompt_id) != run.prompt_id:
        return
    if kind == "executing" and data.get("node"):
        run.executed.append(data["node"])
    elif kind == "execution_cached":
        run.cached = list(data["nodes"])
    elif kind == "progress":
        run.progress.setdefault(data["node"], []).append(data["value"])
    elif kind in ("execution_success", "execution_error", "execution_interrupted"):
        run.outcome = kind
        run.error = data if kind == "execution_error" else {}
