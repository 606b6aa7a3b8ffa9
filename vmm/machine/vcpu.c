/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vCPU threads. Until the guest runs they move in step with the main thread,
 * phase by phase (struct vcpu_gate), so that the sequence stays readable in
 * machine.c. A running thread looks at two flags between two runs of its vCPU;
 * whoever sets one then kicks it, and a kick also reaches a thread that is just
 * about to enter the guest.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "vmm/machine/internal.h"

/* --- phases --------------------------------------------------------------- */

static void arrive(struct machine *m, const struct vc_error *err)
{
	struct vcpu_gate *g = &m->gate;

	pthread_mutex_lock(&g->lock);
	if (err && !g->has_failed) {
		g->has_failed = true;
		g->err = *err;
	}
	g->nr_there++;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

/* Wait for `phase` or a later one; false if it is the end. */
static bool wait_for(struct machine *m, enum vcpu_phase phase)
{
	struct vcpu_gate *g = &m->gate;
	bool is_on;

	pthread_mutex_lock(&g->lock);
	while (g->phase < phase)
		pthread_cond_wait(&g->changed, &g->lock);
	is_on = g->phase != VCPU_STOPPED;
	pthread_mutex_unlock(&g->lock);
	return is_on;
}

static unsigned nr_threads(const struct machine *m)
{
	unsigned i, nr = 0;

	for (i = 0; i < m->config->nr_vcpus; i++)
		nr += m->vcpus[i].has_thread;
	return nr;
}

int vcpus_go(struct machine *m, enum vcpu_phase phase, struct vc_error *err)
{
	struct vcpu_gate *g = &m->gate;
	bool has_failed;

	pthread_mutex_lock(&g->lock);
	if (phase > g->phase)
		g->nr_there = 0;
	g->phase = phase;
	pthread_cond_broadcast(&g->changed);
	while (phase < VCPU_RUNNING && g->nr_there < nr_threads(m))
		pthread_cond_wait(&g->changed, &g->lock);
	has_failed = g->has_failed;
	if (has_failed && err)
		*err = g->err;
	pthread_mutex_unlock(&g->lock);
	return has_failed ? -1 : 0;
}

/* --- running -------------------------------------------------------------- */

static void do_io(struct machine *m, struct bus *bus, const struct vc_exit *e)
{
	uint8_t *data = e->data;
	uint32_t i;

	pthread_mutex_lock(&m->lock);
	for (i = 0; i < e->count; i++, data += e->len) {
		if (e->is_write)
			bus_write(bus, e->addr, data, e->len);
		else
			bus_read(bus, e->addr, data, e->len);
	}
	pthread_mutex_unlock(&m->lock);
}

static void end_described(struct machine_vcpu *v, enum link_end end,
			  const char *what)
{
	char why[LINK_TEXT_MAX], text[LINK_TEXT_MAX];

	vc_vcpu_describe(v->vcpu, why, sizeof(why));
	snprintf(text, sizeof(text), "%s%.300s", what, why);
	machine_end(v->m, end, text);
}

/* One exit; false ends the thread. */
static bool handle(struct machine_vcpu *v, const struct vc_exit *e)
{
	switch (e->kind) {
	case VC_EXIT_NONE:
		return true;
	case VC_EXIT_PIO:
		do_io(v->m, &v->m->pio, e);
		return true;
	case VC_EXIT_MMIO:
		do_io(v->m, &v->m->mmio, e);
		return true;
	case VC_EXIT_RESET:
		machine_end(v->m, LINK_END_RESET, "reset");
		return false;
	case VC_EXIT_POWEROFF:
		machine_end(v->m, LINK_END_POWEROFF, "power off");
		return false;
	case VC_EXIT_SHUTDOWN:
		end_described(v, LINK_END_CRASH, "guest crash: ");
		return false;
	case VC_EXIT_CRASH:
		end_described(v, LINK_END_CRASH, "guest crash: ");
		return false;
	case VC_EXIT_HALT: /* cannot be with APICs in the kernel */
	case VC_EXIT_ERROR:
		break;
	}
	end_described(v, LINK_END_ERROR, "");
	return false;
}

static void wait_while_paused(struct machine *m)
{
	pthread_mutex_lock(&m->gate.lock);
	while (m->gate.is_paused && m->gate.phase != VCPU_STOPPED)
		pthread_cond_wait(&m->gate.changed, &m->gate.lock);
	pthread_mutex_unlock(&m->gate.lock);
}

static void run(struct machine_vcpu *v)
{
	struct machine *m = v->m;
	struct vc_error err;
	struct vc_exit e;

	do {
		if (atomic_load(&m->is_pausing))
			wait_while_paused(m);
		if (atomic_load(&m->is_stopping))
			return;
		if (vc_vcpu_run(v->vcpu, &e, &err) < 0) {
			machine_end(m, LINK_END_ERROR, err.msg);
			return;
		}
	} while (handle(v, &e));
}

static int create(struct machine_vcpu *v, struct vc_error *err)
{
	struct machine *m = v->m;

	if (vc_vcpu_new(m->hv, v->index, &v->vcpu, err) < 0)
		return -1;
	return arch_setup_vcpu(&m->arch, m->hv, v->vcpu, v->index, &m->entry,
			       err);
}

static int seal(struct machine_vcpu *v, struct vc_error *err)
{
	const struct machine_config *c = v->m->config;

	if (!c->has_sandbox)
		return 0;
	return vc_jail_seal_thread(VC_ROLE_VCPU, c->seccomp_action, err);
}

static void *vcpu_thread(void *arg)
{
	struct machine_vcpu *v = arg;
	struct vc_error err;
	char name[16]; /* all that the kernel takes */

	snprintf(name, sizeof(name), "vcpu%u", v->index);
	pthread_setname_np(pthread_self(), name);
	arrive(v->m, create(v, &err) < 0 ? &err : NULL);
	if (!wait_for(v->m, VCPU_SEALED))
		return NULL;
	arrive(v->m, seal(v, &err) < 0 ? &err : NULL);
	if (wait_for(v->m, VCPU_RUNNING))
		run(v);
	return NULL;
}

/* --- for the main thread -------------------------------------------------- */

int vcpus_start_threads(struct machine *m, struct vc_error *err)
{
	unsigned i;
	int rc;

	for (i = 0; i < m->config->nr_vcpus; i++) {
		struct machine_vcpu *v = &m->vcpus[i];

		v->m = m;
		v->index = i;
		rc = pthread_create(&v->thread, NULL, vcpu_thread, v);
		if (rc)
			return vc_fail(err, VC_E_SYS, rc,
				       "vCPU %u: start its thread", i);
		v->has_thread = true;
	}
	return vcpus_go(m, VCPU_CREATED, err);
}

static void kick_all(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->config->nr_vcpus; i++)
		if (m->vcpus[i].has_thread && m->vcpus[i].vcpu)
			vc_vcpu_kick(m->vcpus[i].vcpu, m->vcpus[i].thread);
}

void vcpus_pause(struct machine *m, bool is_paused)
{
	pthread_mutex_lock(&m->gate.lock);
	m->gate.is_paused = is_paused;
	atomic_store(&m->is_pausing, is_paused);
	pthread_cond_broadcast(&m->gate.changed);
	pthread_mutex_unlock(&m->gate.lock);
	if (is_paused)
		kick_all(m);
}

void vcpus_stop(struct machine *m)
{
	unsigned i;

	atomic_store(&m->is_stopping, true);
	pthread_mutex_lock(&m->gate.lock);
	m->gate.phase = VCPU_STOPPED;
	pthread_cond_broadcast(&m->gate.changed);
	pthread_mutex_unlock(&m->gate.lock);
	kick_all(m);
	for (i = 0; i < m->config->nr_vcpus; i++) {
		struct machine_vcpu *v = &m->vcpus[i];

		if (v->has_thread)
			pthread_join(v->thread, NULL);
		v->has_thread = false;
		v->vcpu = vc_vcpu_free(v->vcpu);
	}
}
