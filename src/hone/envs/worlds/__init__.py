"""The classical worlds as Gymnasium environments with integers for states and actions, one per file.

Importing ``hone.envs`` registers them: ``gymnasium.make("hone/Cliff-v0")`` makes the class of ``cliff.py``.
"""

import gymnasium

from hone.core.resolve import names

for _name in names(__name__):
    _class = "".join(part.capitalize() for part in _name.split("_"))
    gymnasium.register(f"hone/{_class}-v0", entry_point=f"{__name__}.{_name}:{_class}")
