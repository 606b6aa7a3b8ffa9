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

#include <sys/types.h>
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

/* The payload of EXEC: le32 flags; then cwd, user, argv and env as four lists
 * of strings. A list is a le32 count and that many strings; a string is a le32
 * length and bytes without NUL. cwd and user have at most one string. */
struct vc_agent_exec {
	uint32_t flags;	  /* 0 */
	const char *cwd;  /* NULL or "": / */
	const char *user; /* NULL or "": root; USER[:GROUP], names or numbers */
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
	size_t used;  /* bytes in buf that are not dropped */
	size_t pos;   /* where they start */
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

/* Frames to be written, of bounded size: what a slow peer has not taken yet.
 * Data frames leave room for control frames, which are never held back. */
struct vc_agent_writer {
	uint8_t *buf; /* owned */
	size_t used;
	size_t pos;
};
int vc_agent_writer_init(struct vc_agent_writer *w,
			 struct vc_error *err) VC_MUST_CHECK;
void vc_agent_writer_fini(struct vc_agent_writer *w);
/* Where to put the payload of a data frame, and how much fits (0: no room
 * now); then say how much it became. */
uint8_t *vc_agent_writer_space(struct vc_agent_writer *w, size_t *ret_len);
void vc_agent_writer_add(struct vc_agent_writer *w, enum vc_agent_type type,
			 size_t len);
/* Add a whole frame; false if it does not fit now. */
bool vc_agent_writer_put(struct vc_agent_writer *w, enum vc_agent_type type,
			 const void *payload, size_t len) VC_MUST_CHECK;
/* A payload of a le32, or of two. */
bool vc_agent_writer_put_u32(struct vc_agent_writer *w, enum vc_agent_type type,
			     uint32_t value) VC_MUST_CHECK;
bool vc_agent_writer_put_2u32(struct vc_agent_writer *w,
			      enum vc_agent_type type, uint32_t first,
			      uint32_t second) VC_MUST_CHECK;
/* A payload of a le32 and text, which is cut to VC_AGENT_MAX_TEXT. */
#define VC_AGENT_MAX_TEXT 512
bool vc_agent_writer_put_text(struct vc_agent_writer *w,
			      enum vc_agent_type type, uint32_t value,
			      const char *text) VC_MUST_CHECK;
/* Write what a non-blocking socket takes. VC_AGENT_OK: all is written. */
enum vc_agent_status vc_agent_writer_flush(struct vc_agent_writer *w, int sock);

/* The bytes received on one stream and not yet passed on: at most a window,
 * which is all the sender has credit for. */
struct vc_agent_ring {
	uint8_t *buf; /* owned: VC_AGENT_WINDOW bytes */
	size_t start, used;
	uint32_t owed; /* passed on, and not yet given back as credit */
	bool is_eof;   /* nothing comes after what is in it */
};
int vc_agent_ring_init(struct vc_agent_ring *r,
		       struct vc_error *err) VC_MUST_CHECK;
void vc_agent_ring_fini(struct vc_agent_ring *r);
/* A data frame came in (empty: end of file). VC_AGENT_BROKEN if the sender had
 * no credit for it, or had sent the end of file before. */
enum vc_agent_status vc_agent_ring_put(struct vc_agent_ring *r,
				       const uint8_t *data, size_t len);
/* One write(2) of at most `max` bytes of it to `fd`: what write returned, 0 if
 * it is empty. */
ssize_t vc_agent_ring_write(struct vc_agent_ring *r, int fd, size_t max);
/* Queue a CREDIT frame for `stream` if enough is owed and there is room. */
void vc_agent_ring_grant(struct vc_agent_ring *r, struct vc_agent_writer *w,
			 enum vc_agent_type stream);
/* The sender's side: a CREDIT frame came in for a stream that has *credit.
 * VC_AGENT_BROKEN if that makes more than a window. */
enum vc_agent_status vc_agent_credit_add(uint32_t *credit, uint32_t more);

VC_END_DECLS

#endif
