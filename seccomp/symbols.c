/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <asm/termbits.h>
#include "libvmmcore/sandbox/programs.h"
#include "seccomp/symbols.h"

struct symbol {
	const char *name;
	uint64_t value;
};

#ifndef F_GET_SEALS
#define F_GET_SEALS 1034
#endif

#define SYMBOL(x)                 \
	{                         \
#x, (uint64_t)(x) \
	}
static const struct symbol values[] = {
	/* the sealing process's own id, filled in when the filter is loaded */
	{ "SELF_PID", SBX_SELF_PID },
	SYMBOL(AT_EMPTY_PATH),
	SYMBOL(BLKDISCARD),
	SYMBOL(BLKGETSIZE64),
	SYMBOL(BLKZEROOUT),
	SYMBOL(FIONBIO),
	SYMBOL(FIONREAD),
	SYMBOL(F_DUPFD_CLOEXEC),
	SYMBOL(F_GETFD),
	SYMBOL(F_GETFL),
	SYMBOL(F_GET_SEALS),
	SYMBOL(F_SETFD),
	SYMBOL(F_SETFL),
	SYMBOL(KVM_CHECK_EXTENSION),
	SYMBOL(KVM_GET_CLOCK),
	SYMBOL(KVM_GET_MP_STATE),
	SYMBOL(KVM_GET_REGS),
	SYMBOL(KVM_GET_SREGS),
	SYMBOL(KVM_GET_VCPU_EVENTS),
	SYMBOL(KVM_IOEVENTFD),
	SYMBOL(KVM_IRQFD),
	SYMBOL(KVM_IRQ_LINE),
	SYMBOL(KVM_IRQ_LINE_STATUS),
	SYMBOL(KVM_KVMCLOCK_CTRL),
	SYMBOL(KVM_RUN),
	SYMBOL(KVM_SET_CLOCK),
	SYMBOL(KVM_SET_GSI_ROUTING),
	SYMBOL(KVM_SET_MP_STATE),
	SYMBOL(KVM_SET_REGS),
	SYMBOL(KVM_SET_SREGS),
	SYMBOL(KVM_SIGNAL_MSI),
	SYMBOL(KVM_TRANSLATE),
	SYMBOL(MADV_DONTNEED),
	SYMBOL(MADV_FREE),
	SYMBOL(PROT_EXEC),
	SYMBOL(PROT_WRITE),
	SYMBOL(PR_SET_NAME),
	SYMBOL(SOL_SOCKET),
	SYMBOL(SO_ERROR),
	SYMBOL(TCGETS),
	SYMBOL(TCGETS2),
	SYMBOL(TIOCGWINSZ),
};
static const struct symbol errors[] = {
	SYMBOL(EACCES), SYMBOL(EINVAL), SYMBOL(ENOENT),
	SYMBOL(ENOSYS), SYMBOL(EPERM),
};

static const struct symbol *find(const struct symbol *table, size_t nr,
				 const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < nr; i++)
		if (strlen(table[i].name) == len &&
		    !memcmp(table[i].name, name, len))
			return &table[i];
	return NULL;
}

bool symbol_value(const char *name, size_t len, uint64_t *ret)
{
	const struct symbol *s = find(values, VC_ARRAY_SIZE(values), name, len);

	if (s)
		*ret = s->value;
	return s;
}

bool symbol_errno(const char *name, size_t len, int *ret)
{
	const struct symbol *s = find(errors, VC_ARRAY_SIZE(errors), name, len);

	if (s)
		*ret = (int)s->value;
	return s;
}
