// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emerita-cni/emerita/internal/testutil"
)

// originalList is the list of the original's README.
const originalList = `{
  "cniVersion": "1.0.0",
  "name": "emerita",
  "plugins": [
    {
      "type": "emerita",
      "ipMasq": true,
      "ipam": {
        "type": "host-local",
        "routes": [{ "dst": "0.0.0.0/0" }],
        "ranges": [
          [
            {
              "subnet": "10.88.0.0/16",
              "gateway": "10.88.0.1"
            }
          ]
        ]
      }
    }
  ]
}
`

// cnitool calls upstream's cnitool for the network and a namespace, as the
// operator does.
type cnitool struct {
	t    *testing.T
	path []string
	dir  string // the stand-in of /etc/cni/net.d
}

// newCnitool gives the test a host whose only network is the list.
func newCnitool(t *testing.T, list string) *cnitool {
	t.Helper()
	testutil.Root(t)
	path := toolPath(t, "cnitool")
	testutil.EnterHost(t)
	c := &cnitool{t: t, path: path, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(c.dir, "50-emerita.conflist"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cnitool) run(verb, netns string) (stdout, stderr string, err error) {
	var out, errs strings.Builder
	cmd := exec.Command(filepath.Join(c.path[1], "cnitool"), verb, "emerita", netns)
	cmd.Env = append(os.Environ(), "CNI_PATH="+c.path[0], "NETCONFPATH="+c.dir)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (c *cnitool) must(verb, netns string) string {
	c.t.Helper()
	stdout, stderr, err := c.run(verb, netns)
	if err != nil {
		c.t.Fatalf("cnitool %s: %v\n%s%s", verb, err, stdout, stderr)
	}
	return stdout
}

// mustFail returns all that cnitool said.
func (c *cnitool) mustFail(verb, netns string) string {
	c.t.Helper()
	stdout, stderr, err := c.run(verb, netns)
	if err == nil {
		c.t.Fatalf("cnitool %s succeeded:\n%s", verb, stdout)
	}
	return stdout + stderr
}

func TestCnitoolOriginal(t *testing.T) {
	c := newCnitool(t, originalList)
	web, db := testutil.Netns(t, "web"), testutil.Netns(t, "db")

	c.must("status", web)
	mustContain(t, c.must("add", web), `"cniVersion": "1.0.0"`, `"address": "10.88.0.2/16"`)
	mustContain(t, c.must("add", db), `"address": "10.88.0.3/16"`)
	for _, to := range []string{"10.88.0.1", "10.88.0.3", "192.0.2.2"} {
		testutil.Run(t, "ip", "netns", "exec", "web", "ping", "-q", "-c", "1", "-W", "2", to)
	}
	c.must("check", web)
	c.must("check", db)
	c.must("status", web)
	testutil.Run(t, "nft", "flush", "ruleset")
	mustContain(t, c.mustFail("check", web), "inet emerita")

	c.must("del", web)
	mustContain(t, c.mustFail("check", web), "prevResult")
	c.must("del", web)
	c.must("del", db)
	mustLack(t, testutil.Run(t, "ip", "link"), "alias emerita:emerita/")
}

// TestCnitoolGC: cnitool sends no list of attachments, and must not be taken
// for a runtime that has none.
func TestCnitoolGC(t *testing.T) {
	c := newCnitool(t, strings.Replace(originalList, "1.0.0", "1.1.0", 1))
	web := testutil.Netns(t, "web")
	c.must("status", web)
	mustContain(t, c.must("add", web), `"cniVersion": "1.1.0"`, `"mtu": 1450`)

	// libcni calls DEL for what is in its cache; this container is in another's.
	if err := os.Rename("/var/lib/cni/results", "/var/lib/cni/elsewhere"); err != nil {
		t.Fatal(err)
	}
	mustContain(t, c.mustFail("gc", web), "cni.dev/valid-attachments", "absent", "give the list of attachments to keep")
	testutil.Run(t, "ip", "netns", "exec", "web", "ping", "-q", "-c", "1", "-W", "2", "10.88.0.1")

	testutil.Run(t, "nft", "flush", "ruleset")
	mustContain(t, c.mustFail("status", web), "inet emerita", "the next ADD mends it")
}
