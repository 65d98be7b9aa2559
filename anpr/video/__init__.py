"""Pictures from files, folders and cameras, as luma and chroma planes without an RGB detour."""
