"""How CiDeR's quality grows with the processor's time: both presets and what they compete with.

    python benchmarks/cider_progress.py DATA --json FILE [--photograph 0] [--steps 3000]
                                        [--every 250] [--classic]

DATA is the folder of test images, as for ``cider.py``. Times are processor time of one thread
(``OMP_NUM_THREADS=1``), without that of scoring; FILE is written after every look, and a
second run only adds what is missing. ``--classic`` leaves the paper's preset out.
"""

from __future__ import annotations

import json
import time
from typing import Any

import harness
from truths import aligned, photographs_of

# PSNR within which a quality counts as the final one.
NEAR = 0.1
OPTIONS: dict[str, Any] = {"psf_energy": 1.0, "psf_background": 0.0}
CLASSIC: dict[str, tuple[str, dict[str, Any]]] = {
    "Richardson-Lucy 30": ("richardson-lucy", {"iterations": 30}),
    "Richardson-Lucy 100": ("richardson-lucy", {"iterations": 100}),
    "Wiener": ("wiener", {}),
    "variational, tv": ("variational", {"prior": "tv"}),
    "variational, hessian": ("variational", {"prior": "hessian"}),
}


def main() -> None:
    parser = harness.parser(__doc__.splitlines()[0], data=True)
    parser.add_argument("--photograph", type=int, default=0, help="as numbered by cider.py")
    parser.add_argument("--steps", type=int, default=3000, help="of the paper's preset")
    parser.add_argument("--every", type=int, default=250, help="steps between two looks at it")
    parser.add_argument("--classic", action="store_true", help="all but the paper's preset")
    given = parser.parse_args()
    image, psf, truth = list(photographs_of(given.data / "levin", given.photograph + 1))[-1]
    figures: dict[str, Any] = {"shape": image.shape, "kernel": psf.shape}
    if given.json is not None and given.json.exists():
        figures = json.loads(given.json.read_text())

    def follow(name: str, method: str, every: int, **options: Any) -> None:
        import napari_deconv as nd

        if name in figures:
            return
        job = nd.Job(image, method, psf, **OPTIONS, **options)
        looks: list[dict[str, float]] = []
        scoring, begun = 0.0, time.process_time()
        last = options.get("iterations", 0)
        for step in job.steps():
            number = step.iteration
            # Before the first step it is the search for a strength that counts; while the network's
            # input is prepared, nothing does.
            seen = bool(looks) and looks[-1]["step"] == number
            if not every or not number or seen or job.estimate() is None:
                continue
            if number % every == 0 or number == last:
                now = time.process_time()
                looks.append(_look(number, now - begun - scoring, job.estimate(), truth))
                scoring += time.process_time() - now
                print(name, looks[-1], flush=True)
                _store(given.json, figures, name, looks)
        if not looks:
            spent = time.process_time() - begun
            looks.append(_look(job.details.iterations, spent, job.result, truth))
            _store(given.json, figures, name, looks)

    for name, (method, options) in CLASSIC.items():
        follow(name, method, 0, **options)
    follow("cider, fast", "cider", 1)
    if not given.classic:
        follow(
            f"cider, paper, {given.steps} steps",
            "cider",
            given.every,
            preset="paper",
            iterations=given.steps,
        )
    rows = []
    for name, looks in figures.items():
        if isinstance(looks, list) and looks and isinstance(looks[0], dict):
            final = looks[-1]
            near = next(each for each in looks if abs(each["psnr"] - final["psnr"]) <= NEAR)
            line = [final["psnr"], final["ssim"], final["seconds"], near["step"], near["seconds"]]
            rows.append([name, *line])
    header = ["", "psnr", "ssim", "seconds", f"within {NEAR} dB at step", "at second"]
    harness.table("photograph", header, rows)
    harness.finish(given.json, figures)


def _look(number: int, seconds: float, image: Any, truth: Any) -> dict[str, float]:
    score = aligned(image, truth)
    figures = {"step": number, "seconds": seconds, "psnr": score["psnr"], "ssim": score["ssim"]}
    return {name: round(float(value), 4) for name, value in figures.items()}


def _store(path: Any, figures: dict[str, Any], name: str, looks: list[dict[str, float]]) -> None:
    figures[name] = looks
    if path is not None:
        path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
