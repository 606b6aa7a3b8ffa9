/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An image may have several programs that bring a network up. One of them is
 * made to ask for an address: what the image starts already, else what its init
 * is known to go with. That there is to be no network is told to each.
 */
#include <stdio.h>
#include "mkimage/guest.h"
#include "mkimage/network.h"

/* OpenRC's own scripts, and what they need to be started by. */
static int enable_openrc(struct build *b, const char *name, const char *level,
			 struct vc_error *err)
{
	char path[100], target[100];

	snprintf(path, sizeof(path), "/etc/runlevels/%s/%s", level, name);
	snprintf(target, sizeof(target), "/etc/init.d/%s", name);
	return guest_put_symlink(b, path, target, err);
}

/* Keep the names that the kernel gives: with udev the first card would not be
 * eth0, but have a name that tells where it sits. */
static int keep_names(struct build *b, struct vc_error *err)
{
	static const char *const udev[] = { "/usr/lib/systemd/systemd-udevd",
					    "/lib/systemd/systemd-udevd",
					    "/usr/bin/udevadm",
					    "/bin/udevadm",
					    "/sbin/udevd",
					    NULL };

	if (!guest_has(b, udev))
		return 0;
	return guest_put_symlink(b, "/etc/systemd/network/99-default.link",
				 "/dev/null", err);
}

/* --- systemd-networkd ----------------------------------------------------- */

static bool has_networkd(struct build *b, bool is_dhcp)
{
	static const char *const networkd[] = {
		"/usr/lib/systemd/systemd-networkd",
		"/lib/systemd/systemd-networkd", NULL
	};

	(void)is_dhcp;
	return guest_has(b, networkd);
}

static int enable_networkd(struct build *b, struct vc_error *err)
{
	static const char *const usr[] = {
		"/usr/lib/systemd/system/systemd-networkd.service", NULL
	};
	static const char *const resolved[] = {
		"/usr/lib/systemd/system/systemd-resolved.service",
		"/lib/systemd/system/systemd-resolved.service", NULL
	};
	const char *dir = guest_has(b, usr) ? "/usr/lib/systemd/system"
					    : "/lib/systemd/system";
	static const char *const units[] = { "systemd-networkd.service",
					     "systemd-resolved.service" };
	size_t i, nr = guest_has(b, resolved) ? 2 : 1;
	char path[200], target[200];

	for (i = 0; i < nr; i++) {
		snprintf(path, sizeof(path),
			 "/etc/systemd/system/multi-user.target.wants/%s",
			 units[i]);
		snprintf(target, sizeof(target), "%s/%s", dir, units[i]);
		if (guest_put_symlink(b, path, target, err))
			return -1;
	}
	return 0;
}

static int put_networkd(struct build *b, bool is_dhcp, struct vc_error *err)
{
	static const char dhcp[] = "[Match]\n"
				   "Type=ether\n"
				   "\n"
				   "[Network]\n"
				   "DHCP=yes\n";
	static const char none[] = "[Match]\n"
				   "Type=ether\n"
				   "\n"
				   "[Link]\n"
				   "Unmanaged=yes\n";

	if (guest_put_text(b, "/etc/systemd/network/10-vmm.network",
			   is_dhcp ? dhcp : none, err))
		return -1;
	return is_dhcp ? enable_networkd(b, err) : 0;
}

/* --- ifupdown ------------------------------------------------------------- */

static bool has_dhcp_client(struct build *b)
{
	static const char *const clients[] = {
		"/sbin/dhclient",    "/usr/sbin/dhclient", "/sbin/udhcpc",
		"/usr/sbin/udhcpc",  "/bin/udhcpc",	   "/usr/bin/udhcpc",
		"/sbin/dhcpcd",	     "/usr/sbin/dhcpcd",   "/sbin/dhcpcd5",
		"/usr/sbin/dhcpcd5", "/sbin/pump",	   NULL
	};

	return guest_has(b, clients);
}

static bool has_ifupdown(struct build *b, bool is_dhcp)
{
	static const char *const ifup[] = { "/sbin/ifup", "/usr/sbin/ifup",
					    NULL };

	/* Debian's has a client for DHCP or not */
	return guest_has(b, ifup) &&
	       (!is_dhcp || has_dhcp_client(b) || !has_networkd(b, true));
}

static int put_ifupdown(struct build *b, bool is_dhcp, struct vc_error *err)
{
	static const char none[] = "auto lo\n"
				   "iface lo inet loopback\n";
	static const char eth0[] = "auto lo\n"
				   "iface lo inet loopback\n"
				   "\n"
				   "auto eth0\n"
				   "iface eth0 inet dhcp\n";
	static const char first[] = "auto lo\n"
				    "iface lo inet loopback\n"
				    "\n"
				    "# the first card, eth... or en...\n"
				    "auto /e*/1=vmm\n"
				    "iface vmm inet dhcp\n";
	/* of those that understand a pattern */
	static const char *const debian[] = {
		"/lib/ifupdown/wait-online.sh",
		"/usr/lib/ifupdown/wait-online.sh", NULL
	};
	static const char *const networking[] = { "/etc/init.d/networking",
						  NULL };
	const bool has_patterns = guest_has(b, debian);

	if (is_dhcp && !has_dhcp_client(b) &&
	    warn_add(&b->warn, err,
		     "--network: the image has no DHCP client for ifupdown"))
		return -1;
	/* its loopback is to be there in both cases */
	if (guest_has_openrc(b) && guest_has(b, networking) &&
	    enable_openrc(b, "networking", "boot", err))
		return -1;
	/* an initrd may have given the card its name before */
	if (is_dhcp && !has_patterns && keep_names(b, err))
		return -1;
	return guest_put_text(b, "/etc/network/interfaces",
			      !is_dhcp	     ? none
			      : has_patterns ? first
					     : eth0,
			      err);
}

/* --- Gentoo's scripts ----------------------------------------------------- */

static bool has_netifrc(struct build *b, bool is_dhcp)
{
	static const char *const netifrc[] = { "/etc/init.d/net.lo", NULL };

	(void)is_dhcp;
	return guest_has_openrc(b) && guest_has(b, netifrc);
}

/* A link for each card, and its words in conf.d. */
static int put_netifrc(struct build *b, bool is_dhcp, struct vc_error *err)
{
	if (guest_put_text(b, "/etc/conf.d/net",
			   is_dhcp ? "config_eth0=\"dhcp\"\n"
				   : "config_eth0=\"null\"\n",
			   err))
		return -1;
	if (!is_dhcp)
		return 0;
	if (keep_names(b, err) ||
	    guest_put_symlink(b, "/etc/init.d/net.eth0", "net.lo", err))
		return -1;
	return enable_openrc(b, "net.eth0", "default", err);
}

/* --- dhcpcd --------------------------------------------------------------- */

static bool has_dhcpcd(struct build *b, bool is_dhcp)
{
	static const char *const enabled[] = {
		"/etc/systemd/system/multi-user.target.wants/dhcpcd.service",
		NULL
	};
	static const char *const script[] = { "/etc/init.d/dhcpcd", NULL };
	static const char *const unit[] = {
		"/usr/lib/systemd/system/dhcpcd.service",
		"/lib/systemd/system/dhcpcd.service", NULL
	};

	if (is_dhcp)
		return guest_has(b, guest_has_systemd(b) ? enabled : script);
	return guest_has(b, script) || guest_has(b, unit);
}

static int put_dhcpcd(struct build *b, bool is_dhcp, struct vc_error *err)
{
	if (!is_dhcp)
		return guest_put_text(b, "/etc/dhcpcd.conf",
				      "denyinterfaces *\n", err);
	/* what is started asks on all cards by itself */
	return guest_has_openrc(b) ? enable_openrc(b, "dhcpcd", "default", err)
				   : 0;
}

/* --- NetworkManager ------------------------------------------------------- */

static bool has_nm(struct build *b, bool is_dhcp)
{
	static const char *const nm[] = { "/usr/sbin/NetworkManager",
					  "/usr/bin/NetworkManager", NULL };

	(void)is_dhcp;
	return guest_has(b, nm);
}

/* NetworkManager that is started already asks for an address on each card, so
 * for DHCP there is nothing to write. (That there is to be no network it is told
 * whether it is started or not: by the entry with has_nm().) */
static bool has_started_nm(struct build *b, bool is_dhcp)
{
	static const char *const enabled[] = {
		"/etc/systemd/system/multi-user.target.wants/"
		"NetworkManager.service",
		"/usr/lib/systemd/system/multi-user.target.wants/"
		"NetworkManager.service",
		"/etc/runlevels/default/NetworkManager",
		"/etc/runlevels/default/networkmanager", NULL
	};

	return is_dhcp && has_nm(b, is_dhcp) && guest_has(b, enabled);
}

static int put_nm(struct build *b, bool is_dhcp, struct vc_error *err)
{
	if (is_dhcp)
		return 0;
	return guest_put_text(b, "/etc/NetworkManager/conf.d/10-vmm.conf",
			      "[keyfile]\n"
			      "unmanaged-devices=type:ethernet\n",
			      err);
}

/* --- which of them -------------------------------------------------------- */

/* In the order in which they are taken. */
static const struct {
	bool (*has)(struct build *b, bool is_dhcp);
	int (*put)(struct build *b, bool is_dhcp, struct vc_error *err);
} kinds[] = {
	{ has_started_nm, put_nm },   { has_ifupdown, put_ifupdown },
	{ has_netifrc, put_netifrc }, { has_dhcpcd, put_dhcpcd },
	{ has_nm, put_nm },	      { has_networkd, put_networkd },
};

int network_apply(struct build *b, bool is_dhcp, struct vc_error *err)
{
	size_t i;

	for (i = 0; i < VC_ARRAY_SIZE(kinds); i++) {
		if (!kinds[i].has(b, is_dhcp))
			continue;
		if (kinds[i].put(b, is_dhcp, err))
			return -1;
		if (is_dhcp)
			return 0;
	}
	if (!is_dhcp)
		return 0;
	return warn_add(&b->warn, err,
			"--network: the image has neither ifupdown nor "
			"systemd-networkd nor NetworkManager nor dhcpcd: "
			"nothing written");
}
