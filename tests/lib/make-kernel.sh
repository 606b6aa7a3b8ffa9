# SPDX-License-Identifier: BSD-3-Clause
# A kernel of a few bytes, for what need not boot one. Plain sh, busybox tools.

# make_kernel FILE: an ELF kernel for x86_64 at 1 MiB, its code on stdin
make_kernel() {
	{
		printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0'
		printf '\2\0\76\0\1\0\0\0\170\0\20\0\0\0\0\0' # entry 0x100078
		printf '\100\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'   # phoff 64
		printf '\0\0\0\0\100\0\70\0\1\0\0\0\0\0\0\0'
		printf '\1\0\0\0\7\0\0\0\0\0\0\0\0\0\0\0' # PT_LOAD, offset 0
		printf '\0\0\20\0\0\0\0\0\0\0\20\0\0\0\0\0' # at 0x100000
		printf '\0\20\0\0\0\0\0\0\0\20\0\0\0\0\0\0' # 4096 bytes
		printf '\0\20\0\0\0\0\0\0'
		cat
		head -c 4096 /dev/zero
	} | head -c 4096 >"$1"
}

# make_reset_kernel FILE: one that resets the machine: out 0x64, 0xfe; hlt
make_reset_kernel() {
	printf '\260\376\346\144\364\353\375' | make_kernel "$1"
}
