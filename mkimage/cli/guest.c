/* SPDX-License-Identifier: BSD-3-Clause */
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

static const struct option_def table[] = {
	OPTION_FLAG("agent", 'a', has_agent,
		    "put the guest agent in and have the image start it"),
	OPTION_CALL("agent-binary", 0, "FILE", set_agent,
		    "the agent to put in; implies --agent"),
	OPTION_CALL("init-binary", 0, "FILE", set_init,
		    "the init for an image that has none; implies --agent"),
};

OPTION_GROUP(options_guest, table);
