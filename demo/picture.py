"""Make the README's picture: the log of a real task in Airflow's UI, photographed with Debian's Chromium.

Run by `make picture`. Login is switched off for it, on loopback, for as long as it takes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from demo.airflow import Airflow

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
BROWSER_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
FLIGHTS = Path("/var/tmp/flights")  # noqa: S108 what the picture shows is the same on every machine
SETTINGS = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True", "FLIGHTS_FOLDER": str(FLIGHTS)}


def photograph(airflow: Airflow, path: str, name: str, *, height: int = 900) -> Path:
    """Save a page of the UI as docs/images/NAME.png. Raises RuntimeError when there is no Chromium or no picture."""
    browser = shutil.which("chromium")
    if browser is None:
        raise RuntimeError("Chromium is missing: apt-get install chromium")
    IMAGES.mkdir(parents=True, exist_ok=True)
    target = IMAGES / f"{name}.png"
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                *(browser, *BROWSER_FLAGS, f"--user-data-dir={profile}", f"--window-size=1400,{height}"),
                *("--virtual-time-budget=20000", f"--screenshot={target}", f"{airflow.url}{path}"),
            ],
            check=True,
            timeout=120,
            capture_output=True,
        )
    if not target.exists():
        raise RuntimeError(f"Chromium made no picture of {path}")
    return target


def main() -> int:
    """Run the demo without login and photograph the second task's log."""
    from demo import __main__ as demo

    started = []
    try:
        shutil.rmtree(demo.FOLDER, ignore_errors=True)
        FLIGHTS.mkdir(exist_ok=True)
        kube = demo.start_localkube()
        started.append(kube)
        airflow = demo.start_airflow(kube, SETTINGS)
        started.append(airflow)
        run_id = airflow.trigger(demo.DAG_ID)
        airflow.wait(demo.DAG_ID, run_id, seconds=demo.LIMIT)
        time.sleep(2)
        print(photograph(airflow, f"/dags/{demo.DAG_ID}/runs/{run_id}/tasks/delays", "task-log"))
    finally:
        for part in reversed(started):
            part.stop()
        shutil.rmtree(FLIGHTS, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
