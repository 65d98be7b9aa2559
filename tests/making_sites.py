"""A site file with one camera that plays a clip, for the tests of the verbs."""

ONE_CAMERA_SITE = """\
[box]
id = "box-1"
[site]
id = "km29"
[store]
path = "data"
[bus]
endpoint = "ipc://{folder}/bus"
[[cameras]]
id = "north"
file = "{clip}"
"""
