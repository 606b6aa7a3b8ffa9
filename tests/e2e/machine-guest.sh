#!/bin/sh
# The guest of test-machine.sh and of a part of test-boot.sh; do=WORD on its
# command line says what to do.
for word in $(cat /proc/cmdline); do
	case $word in do=*) do=${word#do=} ;; esac
done
# An event of the power button: time, EV_KEY, KEY_POWER, pressed.
await_button() {
	dd bs=24 count=1 2>/dev/null <&7 |
		od -An -tu2 -j 16 -N 6 | sed 's/  */ /g; s/^/BUTTON/'
}
echo "GUEST cpus=$(nproc)"
case $do in
shell) # the test speaks to it over the serial port
	while read -r line; do
		eval "$line"
	done </dev/console
	;;
disk)
	echo "DISK $(dd if=/dev/vda bs=16 count=1 2>/dev/null)"
	seq 1 200000 | dd of=/dev/vda bs=4096 seek=1 conv=fsync 2>/dev/null
	echo 3 >/proc/sys/vm/drop_caches
	echo "SUM $(dd if=/dev/vda bs=4096 skip=1 count=200 2>/dev/null | md5sum)"
	echo "RNG $(head -c 16 /dev/hwrng | wc -c)"
	grep -q 'PCI-MSI.*virtio.-req' /proc/interrupts && echo MSI
	;;
flood)
	seq 1 3000
	echo FLOOD-END
	;;
idle)
	exec 7</dev/input/event0
	echo IDLE
	sleep 6
	echo AWAKE
	await_button
	;;
button)
	exec 7</dev/input/event0
	echo IDLE
	await_button
	;;
idle-on)
	echo IDLE
	sleep 900
	;;
reset) reboot -f ;; # in the way that reboot= says
esac
