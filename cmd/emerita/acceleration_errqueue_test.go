// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// What the answerer reads of its error queue, where the kernel gives back what was sent
// with the time at which it was (SO_TIMESTAMPING), it has not read of what the caller
// says: that waits for it still, though it is as long.
func tortureErrorQueue(x *half, w way, seed uint64) (string, error) {
	const size = 100
	c := x.connect(w)
	defer c.close()
	k := newWalker(c, seed)
	for who := range c.ends {
		if err := firstError(k.say(who, 1), k.hearAll(1-who)); err != nil {
			return "", err
		}
	}
	x.takes(c, "error queue, "+w.name, bySocket, bySocket)
	answerer := c.ends[1]
	answerer.set(unix.SOL_SOCKET, unix.SO_TIMESTAMPING, unix.SOF_TIMESTAMPING_TX_SOFTWARE|unix.SOF_TIMESTAMPING_SOFTWARE)
	if err := k.say(0, size); err != nil {
		return "", err
	}
	for range 3 { // by TCP
		if err := firstError(k.say(1, 70_000), k.hearAll(0)); err != nil {
			return "", err
		}
	}
	if err := answerer.wait(0, tortureWait); err != nil {
		return "", fmt.Errorf("error queue: %w", err)
	}
	n, _, _, _, err := unix.Recvmsg(answerer.fd, make([]byte, size), make([]byte, 512), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil || n != size {
		return "", fmt.Errorf("error queue: %d bytes, %w", n, err)
	}
	for range 3 {
		if err := firstError(k.say(1, 10), k.hearAll(0), answerer.settle()); err != nil {
			return "", err
		}
	}
	return "", k.hearAll(1)
}
