#!/bin/bash
# boot.sh FOLDER: boots a systemd of its own, runs FOLDER/script as root there,
# and exits as that does. What it writes is in FOLDER/out.
#
# The machine's file system is below an overlay in memory, so that nothing it
# writes stays, except in FOLDER, which is /mnt there. /tmp is empty. Processes,
# mounts, network, host name and control groups are its own.
set -euo pipefail
folder=$(realpath "$1")

if [ "${2-}" != inside ]; then
	# Control groups are made by whoever is outside, and removed when all is over.
	groups=$(mktemp -d)
	mount -t cgroup2 cgroup2 "$groups"
	own=$groups/kubbi-test-$$
	clean() {
		for _ in {1..50}; do # the last processes may still be going
			find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break
			sleep 0.1
		done
		umount "$groups" && rmdir "$groups"
	}
	trap clean EXIT
	mkdir "$own"
	(
		echo "$BASHPID" >"$own/cgroup.procs"
		exec unshare --mount --pid --ipc --uts --net --cgroup --fork --kill-child "$0" "$folder" inside
	) &
	system=$!
	trap 'kill -KILL $system' INT TERM # and all of its processes go with it
	status=0
	wait $system || status=$?
	exit $status
fi

mount --make-rprivate /
base=/run
mount -t tmpfs tmpfs $base
mkdir $base/upper $base/work $base/root
mount -t overlay overlay -o lowerdir=/,upperdir=$base/upper,workdir=$base/work $base/root
root=$base/root
mount -t proc proc $root/proc
mount --bind $root/proc/sys $root/proc/sys
mount -o remount,bind,ro $root/proc/sys # not all of it is of a namespace
mount -t sysfs -o ro sysfs $root/sys
mount -t cgroup2 cgroup2 $root/sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs $root/run
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
mount -t tmpfs -o mode=755 tmpfs $root/dev
for device in null zero full random urandom tty; do
	touch $root/dev/$device
	mount --bind /dev/$device $root/dev/$device
done
mkdir $root/dev/shm $root/dev/pts
mount -t tmpfs tmpfs $root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
ln -s /proc/self/fd $root/dev/fd
mount --bind "$folder" $root/mnt
ip link set lo up

mkdir -p $root/run/systemd/system
cat >$root/run/systemd/system/script.service <<-'UNIT'
	[Unit]
	Requires=systemd-journald.service dbus.socket
	After=systemd-journald.service dbus.socket
	SuccessAction=exit-force
	FailureAction=exit-force
	[Service]
	Type=oneshot
	WorkingDirectory=/mnt
	Environment=HOME=/root
	ExecStart=/bin/bash /mnt/script
	StandardOutput=append:/mnt/out
	StandardError=append:/mnt/out
UNIT
mkdir $root/run/old
cd $root
pivot_root . run/old
umount -l run/old
mount --make-rshared / # or credentials do not get to services
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=script.service \
	--log-target=journal --show-status=no
