"""Site, pipeline and bridge files: their models and their loader."""

from anpr.config.bridge import BridgeFile
from anpr.config.loader import health_address_of, load_any, load_bridge, load_pipeline, load_site
from anpr.config.pipeline import Pipeline, Preset
from anpr.config.site import Camera, Site

__all__ = [
    "BridgeFile",
    "Camera",
    "Pipeline",
    "Preset",
    "Site",
    "health_address_of",
    "load_any",
    "load_bridge",
    "load_pipeline",
    "load_site",
]
