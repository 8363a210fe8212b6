// SPDX-License-Identifier: MIT OR Apache-2.0

package ipam

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/emerita-cni/emerita/internal/cniproto"
	"github.com/emerita-cni/emerita/internal/state"
)

// Request is everything an address manager may look at.
type Request struct {
	Key           state.Key
	CNIVersion    string          // normalised version of the configuration
	Config        []byte          // whole configuration as received, for delegates and for prevResult
	IPAM          json.RawMessage // the "ipam" object
	EnvIP         []string        // CNI_ARGS IP=; an element may itself be a list with commas
	EnvGateway    []string        // CNI_ARGS GATEWAY= (static only), likewise
	ArgsIPs       []string        // args.cni.ips
	RuntimeIPs    []string        // runtimeConfig.ips
	RuntimeRanges json.RawMessage // runtimeConfig.ipRanges
	Path          string          // CNI_PATH, where delegates are looked up
	Environ       []string        // environment of delegates in the form of os.Environ; CNI_COMMAND is replaced per call
	Stderr        io.Writer       // where delegates' stderr goes; nil drops it
	LockTimeout   time.Duration   // longest wait for the address lock; 0 means 10 s
}

// Claim says which addresses are held and where. Dir is host-local's
// dataDir/network, and "" when the manager keeps no files.
type Claim struct {
	Dir   string
	Addrs []netip.Addr
}

// Hooks are what Add asks of its caller. Each may be nil.
type Hooks struct {
	// Claiming is called once, under the address lock, with what is about to
	// be claimed; the caller writes its intent there. An error stops the
	// claim. For a delegate the addresses are not known yet, and Addrs is
	// empty.
	Claiming func(Claim) error

	// Alive is asked only when a range is exhausted. known says that the
	// attachment is Emerita's own: then alive decides. A holder that is not
	// known loses its address only if it took it before this boot.
	Alive func(containerID, ifname string) (alive, known bool)

	// Prefer lists addresses of a dead attachment of the same key. They are
	// taken again where they are in range and free or still held by the key.
	Prefer []netip.Addr
}

// Manager hands out and takes back the addresses of one attachment. Its errors
// are *cniproto.Error.
type Manager interface {
	// Add claims one address per range set and returns the abbreviated
	// result. On error nothing is left claimed.
	Add(ctx context.Context, h Hooks) (*cniproto.Result, error)

	// Del releases what the attachment holds. known comes from the caller's
	// record; nil means that it is lost, and the key is searched for. What
	// is not held by the key is left alone, and what is gone is no error.
	Del(ctx context.Context, known *Claim) error

	// Check reports an address that is no longer reserved for the key.
	Check(ctx context.Context, known *Claim) error

	// GC releases every reservation of the network that belongs to none of
	// valid. It goes on after an error and returns them joined.
	GC(ctx context.Context, valid []cniproto.Attachment) error

	// Status returns an error with CodeNotAvailable when an Add would fail.
	Status(ctx context.Context) error
}

// defaultLockTimeout is well below the two minutes after which runtimes kill a
// plugin.
const defaultLockTimeout = 10 * time.Second

// New chooses the manager by ipam.type and validates the whole request; it
// changes nothing. "host-local" and "static" are served in process unless
// "exec": true asks for the binary; any other type is looked up in CNI_PATH.
func New(r Request) (Manager, error) {
	var head struct {
		Type string          `json:"type"`
		Exec json.RawMessage `json:"exec"`
	}
	if len(r.IPAM) > 0 {
		if err := cniproto.UnmarshalAt("ipam", r.IPAM, &head); err != nil {
			return nil, err
		}
	}
	if err := checkType(head.Type); err != nil {
		return nil, err
	}
	if r.LockTimeout == 0 {
		r.LockTimeout = defaultLockTimeout
	}
	if head.Type == "host-local" || head.Type == "static" {
		external, err := wantsExec(head.Exec)
		switch {
		case err != nil:
			return nil, err
		case external:
			return newDelegate(r, head.Type)
		case head.Type == "static":
			return newStatic(r)
		default:
			return newHostLocal(r)
		}
	}
	return newDelegate(r, head.Type)
}

// checkType refuses a type that would lead the look-up out of CNI_PATH
// (CVE-2021-20206).
func checkType(t string) error {
	var why string
	switch {
	case t == "":
		why = "missing: set it to host-local, static or the name of an IPAM plugin"
	case strings.ContainsAny(t, "/\x00"), t == ".", t == "..", strings.HasPrefix(t, "-"):
		why = "not a plain file name"
	default:
		return nil
	}
	return invalid("type", t, why)
}

// wantsExec reads "exec". It is interpreted for the built-in types alone:
// another plugin may give the key a meaning of its own.
func wantsExec(raw json.RawMessage) (bool, error) {
	if len(raw) == 0 {
		return false, nil
	}
	var on bool
	if err := json.Unmarshal(raw, &on); err != nil {
		return false, invalid("exec", string(raw), "neither true nor false")
	}
	return on, nil
}

// invalid is the error of one field of the configuration.
func invalid(field, value, why string) error {
	return &cniproto.Error{
		Code:    cniproto.CodeInvalidConfig,
		Msg:     fmt.Sprintf("ipam: %s %q", field, value),
		Details: why,
	}
}
