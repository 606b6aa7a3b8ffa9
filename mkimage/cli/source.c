/* SPDX-License-Identifier: BSD-3-Clause */
#include "mkimage/cli/options.h"

const struct option_group options_source = { 0 };
