// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNewPlanRefuses(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]options{
		"an unknown variant": {variants: "bridge,bond", rounds: 1},
		"no variant":         {variants: "", rounds: 1},
		"a variant twice":    {variants: "bridge,bridge", rounds: 1},
		"no rounds":          {variants: "bridge", rounds: 0},
	} {
		if _, err := newPlan(o); err == nil {
			t.Errorf("newPlan accepted %s", name)
		}
	}
}

func TestVariantsShareNothing(t *testing.T) {
	t.Parallel()
	networks, subnets := map[string]bool{}, map[string]bool{}
	for _, name := range variantNames() {
		config := mustConfig(t, newVariant(name), nil)
		if config.Type != newVariant(name).plugin || config.IPMasq != strings.HasSuffix(name, "-masq") {
			t.Errorf("%s: type %q, ipMasq %v", name, config.Type, config.IPMasq)
		}
		networks[config.Name] = true
		subnets[config.IPAM.Ranges[0][0].Subnet] = true
	}
	if want := len(variantNames()); len(networks) != want || len(subnets) != want {
		t.Errorf("%d variants have %d networks and %d subnets", want, len(networks), len(subnets))
	}
}

func TestStdinCarriesPrevResultOnce(t *testing.T) {
	t.Parallel()
	v := newVariant("bridge")
	if got := mustConfig(t, v, []byte(`{"ips":[]}`)); string(got.PrevResult) != `{"ips":[]}` {
		t.Errorf("prevResult for DEL = %s", got.PrevResult)
	}
	if got := mustConfig(t, v, nil); got.PrevResult != nil {
		t.Errorf("prevResult for the next ADD = %s, want none", got.PrevResult)
	}
}

type netConf struct {
	Name, Type string
	IPMasq     bool
	IPAM       struct {
		Ranges [][]struct{ Subnet string }
	}
	PrevResult json.RawMessage
}

func mustConfig(t *testing.T, v variant, prevResult []byte) netConf {
	t.Helper()
	b, err := v.stdin(prevResult, nil)
	if err != nil {
		t.Fatal(err)
	}
	var c netConf
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
