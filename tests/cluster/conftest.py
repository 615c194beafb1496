import pytest


@pytest.fixture
def checkout(tmp_path):
    """A small tree with the parts of a checkout, in a folder whose name needs quoting."""
    root = tmp_path / "my check'out"
    for name, text in {
        "wauve_dist/__init__.py": "NAME = 'first'\n",
        "wauve_dist/page.html.j2": "<p>\n",
        "wauve_dist/__pycache__/__init__.cpython-311.pyc": "bytes",
        "launch/say.py": "import wauve_dist; print(wauve_dist.NAME)\n",
        "configs/classification/demo.yaml": "seed_everything: 1\n",
        "slurm/cpu.yaml": "nodes: 1\n",
        "runs/x/weights.bin": "large",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root
