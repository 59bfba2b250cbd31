"""Print the lowest versions that `pyproject.toml` allows, as constraints for pip.

torch and torchvision are left out: their wheels of old versions are of other processors and GPUs.
"""

import re
import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
for requirement in project["dependencies"]:
    name, lowest = re.match(r"([\w-]+)[>=]=([\d.]+)", requirement).groups()
    if name not in ("torch", "torchvision"):
        print(f"{name}=={lowest}.*")  # the newest of the release that is the lowest
