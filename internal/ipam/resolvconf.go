// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/emerita-cni/emerita/internal/cniproto"
)

// maxResolvConf bounds what is read of a resolv.conf, in bytes.
const maxResolvConf = 64 << 10

// readResolvConf reads the file named by ipam.resolvConf. O_NONBLOCK keeps a
// FIFO of that name from holding the plugin.
func readResolvConf(path string) (cniproto.DNS, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return cniproto.DNS{}, fmt.Errorf("read resolvConf: %w", err)
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return cniproto.DNS{}, fmt.Errorf("read resolvConf: %w", err)
	} else if !fi.Mode().IsRegular() {
		return cniproto.DNS{}, fmt.Errorf("read resolvConf %q: not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxResolvConf+1))
	if err != nil {
		return cniproto.DNS{}, fmt.Errorf("read resolvConf %q: %w", path, err)
	}
	if len(text) > maxResolvConf {
		return cniproto.DNS{}, fmt.Errorf("read resolvConf %q: longer than %d bytes", path, maxResolvConf)
	}
	return parseResolvConf(string(text)), nil
}

// parseResolvConf follows host-local: keywords without a value are skipped,
// search and options add up, the last domain counts.
func parseResolvConf(text string) cniproto.DNS {
	var dns cniproto.DNS
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			dns.Nameservers = append(dns.Nameservers, fields[1])
		case "domain":
			dns.Domain = fields[1]
		case "search":
			dns.Search = append(dns.Search, fields[1:]...)
		case "options":
			dns.Options = append(dns.Options, fields[1:]...)
		}
	}
	return dns
}
