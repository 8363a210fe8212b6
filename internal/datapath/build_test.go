// SPDX-License-Identifier: MIT OR Apache-2.0

package datapath

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"
)

func TestBuildNamesTheObjects(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256(slices.Concat(_EndpointBytes, _SocketBytes, _PortBytes, _AccelBytes))
	if want := hex.EncodeToString(sum[:8]); build != want {
		t.Errorf("build is %q, the objects are %q: make generate", build, want)
	}
}
