#!/bin/sh
# What newer images have before the main program's wrapper.
exec /opt/hermes/docker/main-wrapper.sh "$@"
