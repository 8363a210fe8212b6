// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"path/filepath"
	"strings"
)

const modulePath = "github.com/emerita-cni/emerita/"

// pkg is a package whose tests run.
type pkg struct {
	Path   string // import path
	Dir    string // where its source is
	Binary string // the compiled tests
	Run    string // expression of those that run, or none
	Skip   string // of those left out
}

func (p pkg) command() []string {
	args := []string{p.Binary, "-test.v=test2json", "-test.timeout=40m"}
	if p.Run != "" {
		args = append(args, "-test.run="+p.Run)
	}
	if p.Skip != "" {
		args = append(args, "-test.skip="+p.Skip)
	}
	return args
}

// dirs are the packages whose tests ask the kernel.
var dirs = []string{
	"internal/testutil", "internal/bpfsys", "internal/datapath", "internal/netns", "internal/nft",
	"internal/conntrack", "internal/nlmsg", "internal/rtnl", "internal/state", "internal/sysctl", "cmd/emerita",
}

// leftOut are tests that run on the host's kernel only: expressions as of go test -skip.
var leftOut = []struct{ dir, tests, why string }{
	{"cmd/emerita", "^TestDeps$", "what the binary links"},
	{"cmd/emerita", "^TestKilled", "a process is killed at each of its system calls: hours when emulated"},
	{"cmd/emerita", "^Test(FullDisk|ReadOnlyDisk|Modes|OddDataDir|TornState|LongIDs|LockIsHeld|Delegate|Cnitool|Libcni)", "files, locks and other programs"},
	{"cmd/emerita", "^Test(Parallel|AddRacesDel|MeddlerDuringAdd|GatewayOfFailedADD|NobodyHearsTheResult|Reboot|CheckSeesMeddling|InteropBridge)", "many calls, minutes when emulated; others make each once"},
	{"cmd/emerita", "^TestChain$", "likewise: upstream's plugins, by iptables and nft"},
	{"cmd/emerita", "^TestAccelerationFull$", "as many entries as a map takes"},
	{"cmd/emerita", "^TestAcceleration(PinLost|CgroupLost|BPFFSLater|Stopped)$", "what is lost and put back, by many calls"},
	{"cmd/emerita", "^TestBandwidth(WithoutPrograms)?$", "many measurements; the others make each kind"},
	{"cmd/emerita", "^Test(ManyPortsOfOne|BadPorts|OddHostIPs|PortConflicts|PortsOf(Dead|EarlierAttachment|TwoNetworks)|PortsAfterReboot|LateDELAfterReboot|KilledBeforeClaim)$", "claims and records of ports"},
	{"cmd/emerita", "^TestBandwidth(LeavesNothing|NameTaken|Killed|Repaired|Refused)$", "many calls about limits; the others measure them"},
	{"cmd/emerita", "^TestScripts$/^(cli|conflist|del_absent|del_bad_input|del_config|dns|duplicate|env|env_names|errors|errors_logs|exhaustion|gateway_undo|gc|help|labels|netns_host|original|ports|prevresult|ranges|ranges_requested|routes_bounds|runner|static|status|symlinks|versions|versions_routes)$", "arguments, formats and files"},
	{"cmd/emerita", "^TestScripts$/^(check|defaults|del_netns|del_renamed|flush|foreign_rules|gateway_removed|hostaddress|lost_state|mac|multi|netns_again|netns_odd|networks|programs_hostile|programs_nobpffs|programs_pins|routes|sysctl_late|unmasqueraded)$", "what somebody has changed, is found and put back; minutes when emulated"},
}

// suite is what runs in a machine: test binaries and sources are the host's.
func suite(source, bin, run string, dirs []string) []pkg {
	var all []pkg
	for _, dir := range dirs {
		p := pkg{
			Path: modulePath + dir, Dir: filepath.Join(source, dir), Run: run,
			Binary: filepath.Join(bin, filepath.Base(dir)+".test"), // as go test -c names it
		}
		var skip []string
		for _, l := range leftOut {
			if l.dir == dir {
				skip = append(skip, l.tests)
			}
		}
		p.Skip = strings.Join(skip, "|")
		all = append(all, p)
	}
	return all
}
