/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compressed clusters: one cluster, one stream. Both directions keep their
 * context from cluster to cluster and belong to one thread at a time.
 */
#ifndef DISK_CODEC_H
#define DISK_CODEC_H

#include <vmmcore/disk.h>

struct codec_decoder;

struct codec_decoder *codec_decoder_new(enum vc_disk_compression type);
struct codec_decoder *codec_decoder_free(struct codec_decoder *d);
/* Fill all `out_len` bytes of `out`. What follows the stream in `in` is
 * ignored: a cluster is stored with up to 511 bytes of its successor. False if
 * `in` is not a stream of at least so many bytes; nothing beyond `out` is
 * touched and no more work done than filling it takes. */
bool codec_decode(struct codec_decoder *d, const void *in, size_t in_len,
		  void *out, size_t out_len);

#endif
