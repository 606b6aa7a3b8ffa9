/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include "mkimage/cli/options.h"

static int set_agent(struct settings *s, const char *value,
		     struct vc_error *err)
{
	(void)err;
	s->has_agent = true;
	s->agent.agent_path = value;
	return 0;
}

static int set_init(struct settings *s, const char *value, struct vc_error *err)
{
	(void)err;
	s->has_agent = true;
	s->agent.init_path = value;
	return 0;
}

static int set_hostname(struct settings *s, const char *value,
			struct vc_error *err)
{
	return guest_set_hostname(&s->guest, value, err);
}

static int add_ssh_key(struct settings *s, const char *value,
		       struct vc_error *err)
{
	return guest_add_ssh_key(&s->guest, value, err);
}

static int set_hash(struct settings *s, const char *value, struct vc_error *err)
{
	return guest_set_password(&s->guest, value, err);
}

static int set_network(struct settings *s, const char *value,
		       struct vc_error *err)
{
	return guest_set_network(&s->guest, value, err);
}

static int use_init(struct settings *s, const char *value, struct vc_error *err)
{
	(void)value;
	(void)err;
	s->has_agent = s->agent.is_init = true;
	return 0;
}

int options_check_guest(struct settings *s, struct vc_error *err)
{
	if (!s->guest.has_fstab)
		return 0;
	if (s->fs_kind != TARGET_EXT4 || (!s->fs.label[0] && !s->fs.has_uuid))
		return vc_fail(err, VC_E_ARG, 0,
			       "--fstab: needs an ext4 with --label or --uuid "
			       "to name it by");
	s->guest.root_uuid = s->fs.uuid;
	s->guest.has_root_uuid = s->fs.has_uuid;
	memcpy(s->guest.root_label, s->fs.label, sizeof(s->fs.label));
	return 0;
}

static const struct option_def table[] = {
	OPTION_FLAG("agent", 'a', has_agent,
		    "put the guest agent in and have the image start it"),
	OPTION_CALL("agent-binary", 0, "FILE", set_agent,
		    "the agent to put in; implies --agent"),
	OPTION_CALL("init-binary", 0, "FILE", set_init,
		    "the init for an image that has none; implies --agent"),
	OPTION_CALL("init", 0, NULL, use_init,
		    "vmm-init as the image's init, whatever it has; implies\n"
		    "--agent"),
	OPTION_CALL("hostname", 0, "NAME", set_hostname,
		    "of the guest: /etc/hostname and /etc/hosts"),
	OPTION_CALL("ssh-key", 0, "FILE", add_ssh_key,
		    "public keys that may log in as root; can be repeated"),
	OPTION_CALL("root-password-hash", 0, "HASH", set_hash,
		    "of the password of root, as crypt(5) writes it"),
	OPTION_FLAG("fstab", 0, guest.has_fstab,
		    "an /etc/fstab with the root file system"),
	OPTION_CALL("network", 0, "dhcp|none", set_network,
		    "how the guest gets its addresses"),
};

OPTION_GROUP(options_guest, table);
