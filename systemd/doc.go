// Package systemd tells systemd's service manager what becomes of the daemon: that it
// is set up, that it reads its configuration again, that it stops, and at intervals
// that it still does its work, without which it is killed and started anew. What comes
// in are two variables of the environment, what goes out are datagrams of a few words
// (sd_notify(3)). It keeps the sixth promise, never silently wrong, for whoever asks
// systemctl; without systemd it does nothing.
package systemd
