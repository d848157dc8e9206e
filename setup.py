"""The wheel carries the app beside the library: pages, ui and assets, as `hitcore/_app`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
CARRIED = ("app.py", "server.py", "pages", "ui", "assets", ".streamlit/config.toml")


class BuildWithApp(build_py):
    """Builds the library, then copies the app; an editable install finds it in the clone."""

    def run(self) -> None:
        """Copy what the library needs, then the app."""
        super().run()
        if self.editable_mode:
            return
        inside = Path(self.build_lib) / "hitcore" / "_app"
        shutil.rmtree(inside, ignore_errors=True)
        for name in CARRIED:
            source, target = HERE / name, inside / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithApp})
