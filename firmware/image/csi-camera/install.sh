#!/bin/sh
# Puts the files of this folder in their places and starts the camera. Run as root; run again after an update.
set -eu
cd "$(dirname "$0")"
[ "$(id -u)" -eq 0 ] || { echo "run it with sudo" >&2; exit 2; }
for tool in rpicam-vid ffmpeg; do
    command -v "$tool" >/dev/null || { echo "$tool is missing; see README.md" >&2; exit 1; }
done
modinfo v4l2loopback >/dev/null 2>&1 || { echo "the module v4l2loopback is missing; see README.md" >&2; exit 1; }
install -D -m 644 v4l2loopback.conf /etc/modprobe.d/v4l2loopback.conf
install -D -m 644 modules.conf /etc/modules-load.d/lapwing-csi.conf
install -D -m 755 feed /usr/local/lib/lapwing/csi-feed
install -D -m 644 lapwing-csi-camera.service /etc/systemd/system/lapwing-csi-camera.service
[ -e /etc/default/lapwing-csi-camera ] || install -D -m 644 csi-camera.env /etc/default/lapwing-csi-camera
modprobe v4l2loopback
systemctl daemon-reload
systemctl enable --now lapwing-csi-camera.service
echo "done: lapwing run --source v4l:/dev/video40"
