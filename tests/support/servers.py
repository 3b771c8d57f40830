"""Servers on loopback that speak the real protocols: S3 (moto), SSH (the sshd of the system)."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def s3_server(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server with an empty bucket; gives its address. From now on s3fs asks that server."""
    server_of = pytest.importorskip("moto.server", reason="the extra sharing-tests is not installed")
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    import boto3
    from s3fs import S3FileSystem

    S3FileSystem.clear_instance_cache()  # whose connections are to the server of another test
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }.items():
        patch.setenv(name, value)
    bucket = f"bucket-{os.urandom(4).hex()}"
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket=bucket)
    try:
        yield f"s3://{bucket}/a/store"
    finally:
        server.stop()


@contextmanager
def ssh_server(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[str]:
    """An sshd of this user on loopback, with keys of its own; gives the address of a folder there."""
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
    if sshd is None:
        pytest.skip("there is no sshd (Debian: openssh-server)")
    pytest.importorskip("paramiko", reason="the extra ssh is not installed")
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True)
    for key in (folder / "host_key", home / ".ssh" / "id_ed25519"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    shutil.copy(home / ".ssh" / "id_ed25519.pub", folder / "authorized_keys")
    key = (folder / "host_key.pub").read_text()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    command = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
    with open(folder / "sshd.log", "wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        _wait_for(port, process, folder / "sshd.log")
        patch.setenv("HOME", str(home))
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{folder / 'there'}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
