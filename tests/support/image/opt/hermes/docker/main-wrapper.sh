#!/bin/sh
# The image's main program; its arguments tell the container's role.
exec sleep infinity
