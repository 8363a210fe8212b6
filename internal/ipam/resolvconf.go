// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"errors"
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
	text, err := readRegular(path)
	if err != nil {
		return cniproto.DNS{}, invalid("resolvConf", path, err.Error()+": put a file there, or leave the key out")
	}
	return parseResolvConf(string(text)), nil
}

func readRegular(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller says the path
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return nil, err
	} else if !fi.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxResolvConf+1))
	if err == nil && len(text) > maxResolvConf {
		err = fmt.Errorf("longer than %d bytes", maxResolvConf)
	}
	return text, err
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
