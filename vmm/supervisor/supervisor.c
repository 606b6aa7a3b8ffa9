/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One loop watches everything: a pidfd and a log pipe per process, the link to
 * the machine, signals, and the control socket. Whatever ends the VM first
 * decides its exit status; all that follows is the orderly end:
 *
 *   1. the machine is asked to stop (or is gone already); its exit closes the
 *      device processes' sockets,
 *   2. device processes see that, write what they hold, and exit,
 *   3. who is not gone by the grace period's end is killed.
 *
 * If the supervisor itself is killed, the others go with it: they asked for a
 * signal at their parent's death when they started.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmmcore/log.h>
#include <vmmcore/loop.h>
#include "vmm/control/link.h"
#include "vmm/control/server.h"
#include "vmm/supervisor/resources.h"
#include "vmm/supervisor/supervisor.h"
#include "vmm/supervisor/terminal.h"

/* for a machine to leave its run loops, for devices to write their caches */
#define GRACE_NS (UINT64_C(20) * 1000 * 1000 * 1000)
/* for the pidfd of a device whose socket the machine saw closing */
#define SETTLE_NS (UINT64_C(500) * 1000 * 1000)
/* two signals closer than this are one wish: timeout(1), for one, signals the
 * process and then its group */
#define ASKED_AGAIN_NS (UINT64_C(1000) * 1000 * 1000)

enum phase { PHASE_RUN, PHASE_END };

struct supervisor {
	const struct vm_config *config; /* borrowed */
	struct vm_processes procs;
	struct vc_loop *loop;
	struct ctl_server *server; /* NULL without a control socket */
	struct vc_watch link_watch, signal_watch;
	struct vc_timer timer;
	int signal_fd;
	enum phase phase;
	bool is_ready, is_paused;
	uint64_t asked_ns; /* when a signal asked for the end */
	size_t nr_alive;
	/* what ended it */
	bool has_reason;
	int status;
	char reason[1024]; /* "" when there is nothing to say */
	/* what may be only a consequence: decided when nobody says more */
	char machine_reason[1024]; /* why the machine could not start */
	int lost_slot;		   /* device the machine lost, or -1 */
};

static void conclude(struct supervisor *s);

static void finish_if_done(struct supervisor *s)
{
	if (s->nr_alive)
		return;
	if (!s->has_reason)
		conclude(s);
	vc_loop_stop(s->loop, 0);
}

static void begin_end(struct supervisor *s)
{
	struct vc_error err;

	if (s->phase == PHASE_END)
		return;
	s->phase = PHASE_END;
	/* a machine that is gone already is no error */
	if (s->procs.machine.pid &&
	    link_send(s->procs.link_fd, LINK_STOP, 0, NULL, &err) < 0)
		kill(s->procs.machine.pid, SIGKILL);
	vc_timer_start(&s->timer, GRACE_NS);
	finish_if_done(s);
}

/* The first reason counts; later ones are its consequences. */
static void end(struct supervisor *s, int status, const char *reason)
{
	if (!s->has_reason) {
		s->has_reason = true;
		s->status = status;
		snprintf(s->reason, sizeof(s->reason), "%s", reason);
	}
	begin_end(s);
}

static void kill_all(struct supervisor *s)
{
	size_t i;

	if (s->status == 0) {
		s->has_reason = false;
		end(s, 1,
		    "virtual machine: end: killed before its disks were "
		    "flushed");
	}
	if (s->procs.machine.pid)
		kill(s->procs.machine.pid, SIGKILL);
	for (i = 0; i < s->procs.nr_devices; i++)
		if (s->procs.devices[i].pid)
			kill(s->procs.devices[i].pid, SIGKILL);
}

static void end_lost_device(struct supervisor *s, const char *why)
{
	char reason[700];

	snprintf(reason, sizeof(reason), "%s: %s",
		 s->procs.slot_names[s->lost_slot],
		 why[0] ? why : "the device process is gone");
	end(s, VMM_EXIT_DEVICE, reason);
}

/* Nobody has said more: what was known has to do. */
static void conclude(struct supervisor *s)
{
	if (s->machine_reason[0])
		end(s, 1, s->machine_reason);
	else if (s->lost_slot >= 0)
		end_lost_device(s, "");
}

static void on_timer(struct vc_timer *t)
{
	struct supervisor *s = vc_container_of(t, struct supervisor, timer);

	if (s->phase == PHASE_RUN)
		conclude(s);
	else
		kill_all(s);
}

/* The machine failed. Before the VM runs that may be because a device did,
 * which then says so itself: wait for it a little. */
static void machine_failed(struct supervisor *s, const char *reason)
{
	if (s->is_ready || s->phase != PHASE_RUN) {
		end(s, 1, reason);
	} else if (!s->machine_reason[0]) {
		snprintf(s->machine_reason, sizeof(s->machine_reason), "%s",
			 reason);
		vc_timer_start(&s->timer, SETTLE_NS);
	}
}

static void take_link(struct supervisor *s);

/* Device `slot` is lost. Its process, or the machine, may still have something
 * to say about why: wait for it a little. */
static void lose_device(struct supervisor *s, int slot)
{
	if (s->phase != PHASE_RUN || s->lost_slot >= 0)
		return;
	s->lost_slot = slot;
	vc_timer_start(&s->timer, SETTLE_NS);
}

static int slot_of(const struct supervisor *s, const struct child *c)
{
	int i;

	for (i = 0; i < (int)s->procs.nr_slots; i++)
		if (!strcmp(s->procs.slot_names[i], c->name))
			return i;
	return 0;
}

static void on_device_exit(struct child *c)
{
	struct supervisor *s = c->owner;
	char reason[700];

	s->nr_alive--;
	/* what the machine said before comes before */
	if (s->link_watch.loop)
		take_link(s);
	child_reason(c, reason, sizeof(reason));
	if (!child_has_failed(c)) {
		/* the machine hung up on it: a consequence, not a cause */
		lose_device(s, slot_of(s, c));
	} else if (s->phase == PHASE_RUN) {
		/* before the VM runs this is an error in what was asked for,
		 * and the process has said which */
		end(s, s->is_ready ? VMM_EXIT_DEVICE : 1, reason);
	} else {
		if (s->has_reason && s->status == 0)
			s->has_reason = false; /* its last flush may be lost */
		end(s, VMM_EXIT_DEVICE, reason);
	}
	finish_if_done(s);
}

static void on_machine_exit(struct child *c)
{
	struct supervisor *s = c->owner;
	char reason[700];

	s->nr_alive--;
	/* its last message may still be unread */
	if (s->link_watch.loop)
		take_link(s);
	if (!s->has_reason) {
		/* it ended because of a device: that one's end, or the timer,
		 * says why */
		child_reason(c, reason, sizeof(reason));
		if (WIFSIGNALED(c->wait_status))
			end(s, 1, reason);
		else if (s->lost_slot < 0 || c->held[0])
			machine_failed(s, reason);
	}
	finish_if_done(s);
}

/* Of its files the machine has descriptors and no names: put them in. */
static void end_failed(struct supervisor *s, const char *text)
{
	const struct {
		const char *what, *path;
	} files[] = {
		{ "kernel", s->config->kernel },
		{ "initrd", s->config->initrd },
	};
	char reason[sizeof(s->reason)], shown[300];
	size_t i, n;

	for (i = 0; i < VC_ARRAY_SIZE(files); i++) {
		n = strlen(files[i].what);
		if (!files[i].path || strncmp(text, files[i].what, n) ||
		    strncmp(text + n, ": ", 2))
			continue;
		snprintf(reason, sizeof(reason), "%s '%s': load: %s",
			 files[i].what,
			 vc_printable(files[i].path, shown, sizeof(shown)),
			 text + n + 2);
		machine_failed(s, reason);
		return;
	}
	machine_failed(s, text);
}

static void on_ended(struct supervisor *s, const struct link_msg *msg)
{
	char text[2 * LINK_TEXT_MAX];

	vc_printable(msg->text, text, sizeof(text));
	switch (le32_get(msg->arg)) {
	case LINK_END_POWEROFF:
		end(s, 0, "");
		break;
	case LINK_END_RESET:
		end(s, VMM_EXIT_RESET, "");
		break;
	case LINK_END_CRASH:
		end(s, VMM_EXIT_CRASH, text);
		break;
	default:
		end_failed(s, text);
		break;
	}
}

static void on_link_msg(struct supervisor *s, const struct link_msg *msg)
{
	uint32_t arg = le32_get(msg->arg);

	switch (le32_get(msg->type)) {
	case LINK_READY:
		s->is_ready = true;
		vm_processes_end_opening(&s->procs);
		vc_log(VC_LOG_DEBUG, s->config->name, "running");
		break;
	case LINK_ENDED:
		on_ended(s, msg);
		break;
	case LINK_DEVICE_LOST:
		if (arg < s->procs.nr_slots)
			lose_device(s, (int)arg);
		break;
	default:
		end(s, 1, "machine: unknown message on the link");
		break;
	}
}

/* Read one message; true if there may be another. */
static bool take_link_msg(struct supervisor *s)
{
	struct link_msg msg;
	struct vc_error err;
	bool is_eof;

	if (link_recv(s->procs.link_fd, &msg, &is_eof, &err) < 0) {
		if (err.sys == EAGAIN)
			return false;
		end(s, 1, err.msg);
		is_eof = true;
	}
	if (is_eof) {
		vc_watch_remove(&s->link_watch);
		return false;
	}
	on_link_msg(s, &msg);
	return true;
}

static void take_link(struct supervisor *s)
{
	while (take_link_msg(s))
		;
}

static void on_link(struct vc_watch *w, uint32_t events)
{
	(void)events;
	take_link(vc_container_of(w, struct supervisor, link_watch));
}

static void on_signal(struct vc_watch *w, uint32_t events)
{
	struct supervisor *s =
		vc_container_of(w, struct supervisor, signal_watch);
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (!s->asked_ns) {
		s->asked_ns = vc_now_ns();
		end(s, 0, "");
	} else if (vc_now_ns() - s->asked_ns > ASKED_AGAIN_NS) {
		kill_all(s);
	}
}

/* --- control methods ------------------------------------------------------ */

static json_t *send_to_machine(struct supervisor *s, enum link_type type,
			       struct vc_error *err)
{
	if (s->phase != PHASE_RUN || !s->is_ready) {
		vc_fail(err, VC_E_CONFIG, 0, "the VM is not running");
		return NULL;
	}
	if (link_send(s->procs.link_fd, type, 0, NULL, err) < 0)
		return NULL;
	return json_object();
}

static json_t *method_info(void *opaque, json_t *params, struct vc_error *err)
{
	struct supervisor *s = opaque;
	const struct vm_config *c = s->config;
	const char *state = s->phase == PHASE_END ? "ending"
			    : !s->is_ready	  ? "starting"
			    : s->is_paused	  ? "paused"
						  : "running";
	json_t *o = json_pack("{s:i,s:s,s:s,s:s,s:i,s:I,s:I,s:s*}", "protocol",
			      CTL_PROTOCOL, "version", VC_VERSION, "name",
			      c->name, "state", state, "pid", (int)getpid(),
			      "cpus", (json_int_t)c->nr_cpus, "memory",
			      (json_int_t)c->mem_mib << 20, "vsock",
			      c->has_vsock ? c->vsock_socket : NULL);

	(void)params;
	if (!o)
		vc_fail(err, VC_E_SYS, ENOMEM, "vm.info");
	return o;
}

static json_t *method_stop(void *opaque, json_t *params, struct vc_error *err)
{
	(void)params;
	(void)err;
	end(opaque, 0, "");
	return json_object();
}

static json_t *method_power_button(void *opaque, json_t *params,
				   struct vc_error *err)
{
	(void)params;
	return send_to_machine(opaque, LINK_POWER_BUTTON, err);
}

static json_t *method_pause(void *opaque, json_t *params, struct vc_error *err)
{
	struct supervisor *s = opaque;
	json_t *o = send_to_machine(s, LINK_PAUSE, err);

	(void)params;
	s->is_paused |= o != NULL;
	return o;
}

static json_t *method_resume(void *opaque, json_t *params, struct vc_error *err)
{
	struct supervisor *s = opaque;
	json_t *o = send_to_machine(s, LINK_RESUME, err);

	(void)params;
	if (o)
		s->is_paused = false;
	return o;
}

static const struct ctl_method methods[] = {
	{ "vm.info", method_info },
	{ "vm.stop", method_stop },
	{ "vm.power-button", method_power_button },
	{ "vm.pause", method_pause },
	{ "vm.resume", method_resume },
};

/* --- start and end -------------------------------------------------------- */

static int watch_signals(struct supervisor *s, struct vc_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return vc_fail(err, VC_E_SYS, errno, "sigprocmask");
	signal(SIGPIPE, SIG_IGN);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "signalfd");
	return vc_watch_add(s->loop, &s->signal_watch, s->signal_fd, EPOLLIN,
			    on_signal, err);
}

static int start_child(struct supervisor *s, struct child *c,
		       void (*on_exit)(struct child *c), int exe_fd,
		       struct vc_error *err)
{
	c->on_exit = on_exit;
	c->owner = s;
	if (child_start(c, s->loop, s->config->has_sandbox, exe_fd, err) < 0)
		return -1;
	s->nr_alive++;
	return 0;
}

static int start_all(struct supervisor *s, struct vc_error *err)
{
	vc_auto_fd int exe_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	size_t i;

	if (exe_fd < 0)
		return vc_fail(err, VC_E_SYS, errno, "/proc/self/exe: open");
	for (i = 0; i < s->procs.nr_devices; i++)
		if (start_child(s, &s->procs.devices[i], on_device_exit, exe_fd,
				err) < 0)
			return -1;
	return start_child(s, &s->procs.machine, on_machine_exit, exe_fd, err);
}

static bool uses_stdin(const struct vm_config *c)
{
	size_t i;

	for (i = 0; i < c->nr_serials; i++)
		if (c->serials[i].is_stdin)
			return true;
	return false;
}

/* Everything that can fail before the first process exists. */
static int prepare(struct supervisor *s, struct vc_error *err)
{
	const struct vm_config *c = s->config;

	if (vc_loop_new(&s->loop, err) < 0 ||
	    vc_timer_init(&s->timer, s->loop, on_timer, err) < 0 ||
	    watch_signals(s, err) < 0)
		return -1;
	if (c->control_socket &&
	    ctl_server_new(s->loop, c->control_socket, methods,
			   VC_ARRAY_SIZE(methods), s, &s->server, err) < 0)
		return -1;
	if (vm_processes_prepare(&s->procs, c, err) < 0 ||
	    vm_processes_start_serving(&s->procs, s->loop, err) < 0)
		return -1;
	if (vc_set_nonblock(s->procs.link_fd, err) < 0)
		return -1;
	return vc_watch_add(s->loop, &s->link_watch, s->procs.link_fd, EPOLLIN,
			    on_link, err);
}

static int run(struct supervisor *s, struct vc_error *err)
{
	if (prepare(s, err) < 0 || start_all(s, err) < 0)
		return -1;
	if (uses_stdin(s->config) && terminal_set_raw(err) < 0)
		return -1;
	return vc_loop_run(s->loop, NULL, err);
}

static void supervisor_fini(struct supervisor *s)
{
	terminal_restore();
	ctl_server_free(s->server);
	vc_watch_remove(&s->link_watch);
	vc_watch_remove(&s->signal_watch);
	vc_timer_fini(&s->timer);
	if (!s->is_ready)
		vm_processes_remove_logs(&s->procs);
	vm_processes_fini(&s->procs);
	vc_close(&s->signal_fd);
	vc_loop_free(s->loop);
}

int supervisor_run(const struct vm_config *config, int *ret_status,
		   struct vc_error *err)
{
	struct supervisor s = { .config = config,
				.signal_fd = -1,
				.timer = { .fd = -1 },
				.lost_slot = -1 };
	int ret;

	vm_processes_init(&s.procs);
	ret = run(&s, err);
	supervisor_fini(&s);
	if (ret < 0)
		return -1;
	if (s.status == 1)
		return vc_fail(err, VC_E_CONFIG, 0, "%s", s.reason);
	if (s.reason[0])
		fprintf(stderr, "vmm run: %s\n", s.reason);
	*ret_status = s.status;
	return 0;
}
