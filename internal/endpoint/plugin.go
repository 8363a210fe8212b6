// SPDX-License-Identifier: MIT OR Apache-2.0

package endpoint

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/ipam"
	"github.com/emerita-cni/emerita/internal/state"
)

// Plugin is what all calls of a process share.
type Plugin struct {
	StateDir    string        // where records live
	RunDir      string        // where claims of ports live
	Version     string        // of the plugin, for the records
	Log         *slog.Logger  // never on stdout
	Stderr      io.Writer     // for what delegates say
	Environ     []string      // for delegates
	LockTimeout time.Duration // longest wait for a lock
	Self        string        // the program, to run ForgetFlowsCommand; empty if it cannot be
}

// Call is one invocation: the environment and the configuration, both
// validated by cniproto.
type Call struct {
	Env    cniproto.Env
	Config *cniproto.Config
}

func (c Call) key() state.Key {
	return state.Key{Network: c.Config.Name, ContainerID: c.Env.ContainerID, IfName: c.Env.IfName}
}

// sharedLock guards what attachments share: the nftables table and the list of
// changed sysctls.
const sharedLock = "shared objects"

// withSharedLock runs fn under it.
func (p *Plugin) withSharedLock(store *state.Store, fn func() error) error {
	lock, err := store.LockShared(sharedLock, p.LockTimeout)
	if err != nil {
		return busy(err)
	}
	defer lock.Unlock()
	return fn()
}

// lockKey locks the attachment of a call.
func (p *Plugin) lockKey(store *state.Store, k state.Key) (*state.Lock, error) {
	lock, err := store.LockKey(k, p.LockTimeout)
	return lock, busy(err)
}

// busy gives a lock that was not to be had the code that makes runtimes try
// again.
func busy(err error) error {
	if errors.Is(err, state.ErrLocked) {
		return cniproto.Wrap(cniproto.CodeTryAgain, "wait for another call", err)
	}
	return cniproto.Wrap(cniproto.CodeIO, "lock", err)
}

// addressManager chooses the IPAM of a call and validates its configuration.
func (p *Plugin) addressManager(call Call, args cniproto.Args) (ipam.Manager, error) {
	c := call.Config
	if c.IPAM == nil {
		return nil, cniproto.Errorf(cniproto.CodeInvalidConfig, "parse network configuration",
			`network %q has no "ipam": give it one, such as {"type":"host-local","ranges":[[{"subnet":"10.88.0.0/16"}]]}`, c.Name)
	}
	return ipam.New(ipam.Request{
		Key:           call.key(),
		CNIVersion:    c.CNIVersion,
		Config:        c.Raw,
		IPAM:          c.IPAM,
		EnvIP:         args.IP,
		EnvGateway:    args.Gateway,
		ArgsIPs:       c.Args.CNI.IPs,
		RuntimeIPs:    c.RuntimeConfig.IPs,
		RuntimeRanges: c.RuntimeConfig.IPRanges,
		Path:          call.Env.Path,
		Environ:       p.Environ,
		Stderr:        p.Stderr,
		LockTimeout:   p.LockTimeout,
	})
}
