// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/emerita-cni/emerita/test/bench/internal/traffic"
)

// slack is how much earlier than the streams the requests end: the last of them waits
// for its answer, and the streams must not be over by then.
const slack = 300 * time.Millisecond

// sample fills the limit with streams and exchanges requests and answers meanwhile. All
// connections are made by the limited container, so that no variant has to let in what
// others call.
func (b *bandwidthHost) sample(ctx context.Context, p bandwidthPlan, c bandwidthCase) (streams, requests traffic.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	spec := traffic.Spec{Kind: traffic.Stream, Flows: c.Streams, Size: 64 << 10, CPU: -1, WarmUp: p.WarmUp, Window: p.Window}
	if c.Direction == inbound {
		spec.Kind = traffic.Download
	}
	bulk, err := b.pair(ctx, c.Peer, spec)
	if err != nil {
		return streams, requests, err
	}
	defer bulk.end()
	if !c.Exact {
		spec = traffic.Spec{Kind: traffic.Paced, Flows: 1, Size: p.Size, CPU: -1, WarmUp: p.WarmUp, Window: p.Window - slack, Interval: p.Interval}
		small, err := b.pair(ctx, c.Peer, spec)
		if err != nil {
			return streams, requests, err
		}
		err = errors.Join(small.client.line(&requests), small.client.wait())
		small.server.kill()
		if err != nil {
			return streams, requests, err
		}
	}
	streams, err = bulk.streams(c.Direction)
	return streams, requests, err
}

// A pair is both sides of some traffic, which go on.
type pair struct {
	client, server *side
}

// pair starts a server at the peer and a client in the limited container.
func (b *bandwidthHost) pair(ctx context.Context, peer scope, s traffic.Spec) (*pair, error) {
	at, address := b.other(peer)
	server, err := startSide(ctx, at, serverCommand, s)
	if err != nil {
		return nil, err
	}
	var ready traffic.Ready
	if err := server.line(&ready); err != nil {
		server.kill()
		return nil, errors.Join(err, errors.New(server.stderr.String()))
	}
	s.Server = netip.AddrPortFrom(address, ready.Port)
	client, err := startSide(ctx, b.limited, clientCommand, s)
	if err != nil {
		server.kill()
		return nil, err
	}
	return &pair{client, server}, nil
}

// streams waits for what the receiver got and what the sender had to send again.
func (p *pair) streams(d direction) (traffic.Result, error) {
	sender, receiver := p.client, p.server
	if d == inbound {
		sender, receiver = receiver, sender
	}
	var got, sent traffic.Result
	if err := receiver.line(&got); err != nil {
		return got, errors.Join(err, receiver.wait())
	}
	if err := sender.line(&sent); err != nil {
		return got, errors.Join(err, sender.wait())
	}
	got.Resent = sent.Resent
	return got, errors.Join(receiver.wait(), sender.wait())
}

// end ends what still runs.
func (p *pair) end() {
	for _, s := range []*side{p.client, p.server} {
		if s.cmd.ProcessState == nil {
			s.kill()
		}
	}
}
