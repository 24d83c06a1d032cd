#pragma once
// libsystemd: notification, socket activation, journal.
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
