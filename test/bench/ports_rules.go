// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// verify returns what checks, after ADD and after DEL, that the host's rules lead to an
// attachment with all its ports, and do not mention its address any more.
func (p *portsHost) verify(ctx context.Context, a *attachment) func(attached bool) error {
	return func(attached bool) error {
		address, _, err := addresses(a.result)
		if err != nil {
			return err
		}
		rules, err := p.rules(ctx)
		if err != nil {
			return err
		}
		switch n := mentions(rules, address.String()); {
		case attached && n < len(a.ports):
			return fmt.Errorf("after ADD: %d rules or elements for %d ports", n, len(a.ports))
		case !attached && n > 0:
			return fmt.Errorf("after DEL: %d rules or elements are still there", n)
		default:
			return nil
		}
	}
}

// rules are the host's, as the tools of their kind list them: those of iptables are
// not complete in the words of nft.
func (p *portsHost) rules(ctx context.Context) (string, error) {
	command := []string{"nft", "list", "ruleset"}
	if p.variant == portsIPTables {
		command = []string{"iptables-save", "-t", "nat"}
	}
	cmd, err := startProgram(ctx, end{p.host, p.netns}, command[0], command[1:]...)
	if err != nil {
		return "", err
	}
	var all bytes.Buffer
	_, readErr := all.ReadFrom(cmd.out)
	if err := cmd.wait(); err != nil {
		return "", err
	}
	if readErr != nil {
		return "", fmt.Errorf("list the rules: %w", readErr)
	}
	return all.String(), nil
}

// mentions counts an address in text, but not longer ones that begin or end like it.
func mentions(text, address string) int {
	n := 0
	for before, after, ok := strings.Cut(text, address); ok; before, after, ok = strings.Cut(after, address) {
		if !strings.HasSuffix(before, ".") && !endsInDigit(before) && !beginsWithDigit(after) {
			n++
		}
	}
	return n
}

func endsInDigit(s string) bool { return s != "" && s[len(s)-1] >= '0' && s[len(s)-1] <= '9' }

func beginsWithDigit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
