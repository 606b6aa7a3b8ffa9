/* SPDX-License-Identifier: BSD-3-Clause */
/* The sub-commands: each gets argv from its own name on and returns an exit
 * status. */
#ifndef VMM_CLI_COMMANDS_H
#define VMM_CLI_COMMANDS_H

int cmd_device(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_machine(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
