// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
)

// defaultDataDir is host-local's.
const defaultDataDir = "/var/lib/cni/networks"

// hostLocal serves "type": "host-local" on the same files as the plugin of
// that name, so that both can hand out the addresses of one network.
type hostLocal struct {
	key        state.Key
	dir        string // dataDir/network
	sets       []rangeSet
	requested  []netip.Addr
	routes     []cniproto.Route
	resolvConf string
	timeout    time.Duration
}

// hostLocalConfig is the "ipam" object. A range at its top level is the form of
// before range sets.
type hostLocalConfig struct {
	rangeConfig
	Ranges     [][]rangeConfig        `json:"ranges"`
	Routes     []cniproto.RouteConfig `json:"routes"`
	DataDir    string                 `json:"dataDir"`
	ResolvConf string                 `json:"resolvConf"`
}

func newHostLocal(r Request) (Manager, error) {
	var conf hostLocalConfig
	if err := cniproto.UnmarshalAt("ipam", r.IPAM, &conf); err != nil {
		return nil, err
	}
	m := &hostLocal{key: r.Key, resolvConf: conf.ResolvConf, timeout: r.LockTimeout}
	var err error
	if m.dir, err = networkDir(conf.DataDir, r.Key.Network); err != nil {
		return nil, err
	}
	if conf.ResolvConf != "" && !filepath.IsAbs(conf.ResolvConf) {
		return nil, invalid("resolvConf", conf.ResolvConf, "is not an absolute path")
	}
	if m.sets, err = rangeSets(conf, r); err != nil {
		return nil, err
	}
	if m.requested, err = requestedAddrs(r); err != nil {
		return nil, err
	}
	if m.routes, err = cniproto.ParseRoutes("ipam.routes", conf.Routes); err != nil {
		return nil, err
	}
	return m, nil
}

// networkDir checks dataDir and the network's name, which are about to become
// a path.
func networkDir(dataDir, network string) (string, error) {
	if dataDir == "" {
		dataDir = defaultDataDir
	}
	if !filepath.IsAbs(dataDir) || filepath.Clean(dataDir) != dataDir || dataDir == "/" {
		return "", invalid("dataDir", dataDir, "is not an absolute path without . and .. and trailing slash")
	}
	for _, kernel := range []string{"/proc", "/sys", "/dev"} {
		if dataDir == kernel || strings.HasPrefix(dataDir, kernel+"/") {
			return "", invalid("dataDir", dataDir, "is under "+kernel+", which keeps no files: choose a local disk")
		}
	}
	if network == "" || network == "." || network == ".." || strings.ContainsAny(network, "/\x00") || len(network) > 255 {
		return "", invalid("network name", network, "cannot be a file name")
	}
	return filepath.Join(dataDir, network), nil
}

// rangeSets collects the range sets in host-local's order: those of the
// runtime, the one at the top level, then ipam.ranges.
func rangeSets(conf hostLocalConfig, r Request) ([]rangeSet, error) {
	var confs [][]rangeConfig
	if len(r.RuntimeRanges) > 0 {
		if err := cniproto.UnmarshalAt("runtimeConfig.ipRanges", r.RuntimeRanges, &confs); err != nil {
			return nil, err
		}
	}
	if conf.Subnet != "" {
		confs = append(confs, []rangeConfig{conf.rangeConfig})
	}
	confs = append(confs, conf.Ranges...)
	if len(confs) == 0 {
		return nil, invalid("ranges", "[]", "no range is given: set ipam.ranges or ipam.subnet")
	}
	sets := make([]rangeSet, 0, len(confs))
	firsts := make([]netip.Addr, 0, len(confs))
	for i, c := range confs {
		set, err := newRangeSet(c)
		if err != nil {
			return nil, cniproto.Wrap(cniproto.CodeInvalidConfig, fmt.Sprintf("range set %d", i), err)
		}
		for j, other := range sets {
			if set.overlaps(other) {
				return nil, invalid("ranges", set.String(), fmt.Sprintf("range set %d overlaps range set %d", i, j))
			}
		}
		sets = append(sets, set)
		firsts = append(firsts, set[0].first)
	}
	return sets, onePerFamily(r.CNIVersion, firsts)
}

// Add implements Manager. All range sets are served under one hold of the
// lock.
func (m *hostLocal) Add(ctx context.Context, h Hooks) (*cniproto.Result, error) {
	result, err := m.add(ctx, h)
	return result, cniproto.Wrap(cniproto.CodeIPAM, fmt.Sprintf("claim addresses of network %q", m.key.Network), err)
}

func (m *hostLocal) add(ctx context.Context, h Hooks) (*cniproto.Result, error) {
	wanted, err := m.assignRequested()
	if err != nil {
		return nil, err
	}
	result := &cniproto.Result{Routes: m.routes}
	if m.resolvConf != "" {
		if result.DNS, err = readResolvConf(m.resolvConf); err != nil {
			return nil, err
		}
	}
	d, err := openLocked(ctx, m.dir, true, m.timeout)
	if err != nil {
		return nil, err
	}
	defer d.close()
	picker := picker{d: d, key: m.key, network: m.key.Network, hooks: h}
	if result.IPs, err = picker.pickAll(m.sets, wanted); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if h.Claiming != nil {
		claim := Claim{Dir: m.dir}
		for _, ip := range result.IPs {
			claim.Addrs = append(claim.Addrs, ip.Address.Addr())
		}
		if err := h.Claiming(claim); err != nil {
			return nil, err
		}
	}
	if err := m.claimAll(d, result.IPs); err != nil {
		return nil, err
	}
	return result, nil
}

// claimAll claims ips, one per range set, or none of them.
func (m *hostLocal) claimAll(d *directory, ips []cniproto.IPConfig) (err error) {
	var undo int
	defer func() {
		if err == nil {
			return
		}
		for _, ip := range ips[:undo] {
			err = errors.Join(err, d.release(ip.Address.Addr(), m.key))
		}
	}()
	for i, ip := range ips {
		undo = i + 1
		if err := d.claim(ip.Address.Addr(), m.key); err != nil {
			return err
		}
		if err := d.setCursor(i, ip.Address.Addr()); err != nil {
			return err
		}
	}
	return nil
}

// assignRequested gives each range set the requested address that it contains,
// or the zero Addr. Each set takes one; what no set takes is an error, as it is
// host-local's.
func (m *hostLocal) assignRequested() ([]netip.Addr, error) {
	wanted := make([]netip.Addr, len(m.sets))
next:
	for _, a := range m.requested {
		for i, set := range m.sets {
			r, ok := set.find(a)
			if !ok || wanted[i].IsValid() {
				continue
			}
			if a == r.gateway {
				return nil, invalid("requested address", a.String(), "is the gateway of subnet "+r.subnet.String())
			}
			if r.reserved(a) {
				return nil, invalid("requested address", a.String(), "is the network's or the broadcast address of subnet "+r.subnet.String())
			}
			wanted[i] = a
			continue next
		}
		return nil, invalid("requested address", a.String(), "is in no range set that has not served another request already")
	}
	return wanted, nil
}
