/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hole of a terabyte has a checksum too. That of a text which repeats comes
 * from that of one copy: by squaring, in as many steps as its number has bits.
 */
#include <limits.h>
#include <zlib.h>
#include "disk/sparse/sparse.h"

uint32_t sp_crc(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		size_t n = (size_t)vc_min_u64(len, UINT_MAX);

		crc = (uint32_t)crc32(crc, p, (uInt)n);
		p += n;
		len -= n;
	}
	return crc;
}

uint32_t sp_crc_repeat(uint32_t crc, const void *unit, size_t len, uint64_t nr)
{
	uint32_t power = sp_crc(0, unit, len);
	uint64_t power_len = len;

	/* the whole fits a disk, so the length of no power that is used
	 * overflows */
	for (; nr; nr >>= 1) {
		if (nr & 1)
			crc = (uint32_t)crc32_combine(crc, power,
						      (z_off_t)power_len);
		if (nr > 1)
			power = (uint32_t)crc32_combine(power, power,
							(z_off_t)power_len);
		power_len *= 2;
	}
	return crc;
}
