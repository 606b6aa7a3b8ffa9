/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire format between host and guest agent, over one vsock stream per
 * command; see vmm-agent(8) and libvmmcore/agent/README.md. Shared with
 * guest/, so it uses nothing beyond libc and base.
 *
 * A frame is a header of 8 bytes and a payload; both ends bound it.
 */
#ifndef VMMCORE_AGENT_H
#define VMMCORE_AGENT_H

#include <vmmcore/bytes.h>
#include <vmmcore/error.h>

VC_BEGIN_DECLS

#define VC_AGENT_PORT 1024
#define VC_AGENT_VERSION 1
#define VC_AGENT_MAX_PAYLOAD (64 * 1024)
#define VC_AGENT_MAX_ARGS 1024
#define VC_AGENT_MAX_ENV 1024

struct vc_agent_header {
	le32_t length; /* of the payload, <= VC_AGENT_MAX_PAYLOAD */
	le16_t type;   /* enum vc_agent_type */
	le16_t flags;  /* 0 */
};
_Static_assert(sizeof(struct vc_agent_header) == 8, "wire format");

enum vc_agent_type {
	/* both, first: le32 version, then the program's version as text */
	VC_AGENT_HELLO = 1,
	/* host: what to run, see vc_agent_exec */
	VC_AGENT_EXEC = 2,
	/* host: bytes for standard input; empty payload = end of file */
	VC_AGENT_STDIN = 3,
	/* guest: bytes the command wrote; empty payload = end of file */
	VC_AGENT_STDOUT = 4,
	VC_AGENT_STDERR = 5,
	/* guest, last: le32 kind (0 exited, 1 killed by signal), le32 number */
	VC_AGENT_EXIT = 6,
	/* guest, last: le32 errno, text: the command was not started */
	VC_AGENT_ERROR = 7,
	/* host: le32 signal for the command */
	VC_AGENT_SIGNAL = 8,
	/* host: le32 how (0 power off, 1 reboot): answered by EXIT 0 */
	VC_AGENT_SHUTDOWN = 9,
	/* both, flow control: le32 stream (frame type), le32 more bytes that
	 * may be sent on it. Each stream starts with VC_AGENT_WINDOW. */
	VC_AGENT_CREDIT = 10,
};
#define VC_AGENT_WINDOW (256 * 1024)

/* The payload of EXEC: le32 flags; then four strings lists, see encode. */
struct vc_agent_exec {
	uint32_t flags;	   /* 0 */
	const char *cwd;   /* NULL or "": / */
	const char *user;  /* NULL or "": root; a name or a number */
	char *const *argv; /* NULL-terminated, at least one */
	char *const *env;  /* NULL-terminated "K=V", added to a default set */
};

/* Encode into `buf`; *ret_len bytes. VC_E_LIMIT if it does not fit. */
int vc_agent_exec_encode(const struct vc_agent_exec *exec, uint8_t *buf,
			 size_t size, size_t *ret_len,
			 struct vc_error *err) VC_MUST_CHECK;
/* Decode; the strings point into `storage`, allocated, the caller frees:
 * argv and env too. VC_E_PEER if it breaks the format. */
int vc_agent_exec_decode(const void *payload, size_t len,
			 struct vc_agent_exec *ret, void **ret_storage,
			 struct vc_error *err) VC_MUST_CHECK;

/* Incremental frame reader: feed bytes, take frames. */
struct vc_agent_reader {
	uint8_t *buf; /* owned: header + VC_AGENT_MAX_PAYLOAD */
	size_t used;
};
enum vc_agent_status { VC_AGENT_OK, VC_AGENT_MORE, VC_AGENT_BROKEN };
int vc_agent_reader_init(struct vc_agent_reader *r,
			 struct vc_error *err) VC_MUST_CHECK;
void vc_agent_reader_fini(struct vc_agent_reader *r);
/* Where to read(2) to, and how much fits. */
uint8_t *vc_agent_reader_space(struct vc_agent_reader *r, size_t *ret_len);
void vc_agent_reader_add(struct vc_agent_reader *r, size_t len);
/* The first whole frame: *ret_payload is valid until drop(). */
enum vc_agent_status vc_agent_reader_get(struct vc_agent_reader *r,
					 enum vc_agent_type *ret_type,
					 const uint8_t **ret_payload,
					 size_t *ret_len);
void vc_agent_reader_drop(struct vc_agent_reader *r);

VC_END_DECLS

#endif
