// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"net"
	"strings"
	"testing"
)

func TestSendIsCounted(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- serve(listener) }()

	var out strings.Builder
	if err := run([]string{"send", listener.Addr().String(), "3"}, &out); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "3 MiB in ") {
		t.Errorf("printed %q, want 3 MiB", out.String())
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"serve"}, {"send", "127.0.0.1:1"}, {"send", "127.0.0.1:1", "many"}, {"listen", "127.0.0.1:1"}} {
		if err := run(args, nil); err == nil {
			t.Errorf("run(%q): no error", args)
		}
	}
}
