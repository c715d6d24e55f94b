"""Starts the agent of spillway_exporter, and then the sitecustomize that would have been imported without this one."""
import sys

try:
    import spillway_agent  # noqa: F401
except Exception:  # an interpreter that it does not know
    pass


def _next():
    here = __file__.rpartition('/')[0]
    paths = [p for p in sys.path if p.rstrip('/') != here]
    for finder in sys.meta_path:
        spec = finder.find_spec('sitecustomize', paths) if hasattr(finder, 'find_spec') else None
        if spec and spec.loader:
            from _frozen_importlib import module_from_spec
            module = module_from_spec(spec)
            sys.modules['sitecustomize'] = module
            spec.loader.exec_module(module)
            return


_next()
