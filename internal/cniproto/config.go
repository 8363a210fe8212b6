// SPDX-License-Identifier: MIT OR Apache-2.0

package cniproto

import (
	"encoding/json"
	"fmt"
)

// Config is the part of a network configuration that every plugin shares. A
// plugin's own keys are in Raw. null counts as absent everywhere.
type Config struct {
	CNIVersion    string // a supported one
	Name          string // valid
	Type          string
	IPAMType      string          // "" when IPAM is nil
	IPAM          json.RawMessage // nil when absent
	DNS           DNS
	RuntimeConfig RuntimeConfig
	Args          struct{ CNI ArgsCNI }
	PrevResult    json.RawMessage // nil when absent

	// ValidAttachments is the list of GC. An empty list has a meaning (keep
	// nothing), which an absent one has not.
	ValidAttachments    []Attachment
	HasValidAttachments bool

	Raw []byte // the whole configuration as received
}

// RuntimeConfig holds what a runtime fills in for the capabilities that the
// configuration lists (CONVENTIONS.md). What is left raw is nil when absent.
type RuntimeConfig struct {
	IPs          []string        `json:"ips"`
	Mac          string          `json:"mac"`
	IPRanges     json.RawMessage `json:"ipRanges"`
	PortMappings json.RawMessage `json:"portMappings"`
	Bandwidth    json.RawMessage `json:"bandwidth"`
	Aliases      json.RawMessage `json:"aliases"`
	CgroupPath   string          `json:"cgroupPath"`
	DNS          struct {
		Servers  []string `json:"servers"`
		Searches []string `json:"searches"`
		Options  []string `json:"options"`
	} `json:"dns"`
}

// ArgsCNI is args.cni (CONVENTIONS.md).
type ArgsCNI struct {
	IPs    []string `json:"ips"`
	MAC    string   `json:"mac"`
	Labels []Label  `json:"labels"`
}

// Label is what names a workload, or anything else that its runtime wants to be known.
type Label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Attachment names an interface of a container within a network.
type Attachment struct {
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
}

// ParseConfig reads a single-plugin configuration and validates what every verb
// relies on. Errors: CodeDecode if it is no JSON, CodeIncompatibleVersion,
// otherwise CodeInvalidConfig naming the key.
func ParseConfig(raw []byte) (*Config, error) {
	const what = "parse network configuration"
	var in struct {
		CNIVersion    string          `json:"cniVersion"`
		Name          string          `json:"name"`
		Type          string          `json:"type"`
		IPAM          json.RawMessage `json:"ipam"`
		DNS           DNS             `json:"dns"`
		RuntimeConfig RuntimeConfig   `json:"runtimeConfig"`
		Args          struct {
			CNI ArgsCNI `json:"cni"`
		} `json:"args"`
		PrevResult json.RawMessage `json:"prevResult"`
		Valid      json.RawMessage `json:"cni.dev/valid-attachments"`
		Misspelt   json.RawMessage `json:"cni.dev/attachments"` // as libcni 1.2 sends it besides
	}
	parseErr := unmarshal(raw, &in, what)
	version, err := NormalizeVersion(in.CNIVersion)
	if err != nil { // comes first: another version may give a key another type
		return nil, err
	}
	if parseErr != nil {
		return nil, parseErr
	}
	if err := ValidateNetworkName(in.Name); err != nil {
		return nil, err
	}
	c := &Config{
		CNIVersion: version, Name: in.Name, Type: in.Type, DNS: in.DNS, RuntimeConfig: in.RuntimeConfig,
		IPAM: given(in.IPAM), PrevResult: given(in.PrevResult), Raw: raw,
	}
	c.Args.CNI = in.Args.CNI
	for _, m := range []*json.RawMessage{&c.RuntimeConfig.IPRanges, &c.RuntimeConfig.PortMappings, &c.RuntimeConfig.Bandwidth, &c.RuntimeConfig.Aliases} {
		*m = given(*m)
	}
	if err := c.parseIPAMType(); err != nil {
		return nil, err
	}
	attachments, key := given(in.Valid), "cni.dev/valid-attachments"
	if attachments == nil {
		attachments, key = given(in.Misspelt), "cni.dev/attachments"
	}
	if attachments == nil {
		return c, nil
	}
	c.HasValidAttachments = true
	if c.ValidAttachments, err = parseAttachments(key, attachments); err != nil {
		return nil, err // no list, rather than one that would delete too much
	}
	return c, nil
}

// given is nil for an absent value and for null.
func given(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}

func (c *Config) parseIPAMType() error {
	if c.IPAM == nil {
		return nil
	}
	var ipam struct {
		Type string `json:"type"`
	}
	if err := UnmarshalAt("ipam", c.IPAM, &ipam); err != nil {
		return err
	}
	if c.IPAMType = ipam.Type; c.IPAMType == "" { // {} says the same as no key
		c.IPAM = nil
	}
	return nil
}

// parseAttachments reads the list of GC; a malformed entry fails it as a whole,
// because to leave it out would delete what it stands for.
func parseAttachments(key string, raw json.RawMessage) ([]Attachment, error) {
	all := []Attachment{}
	if err := UnmarshalAt(key, raw, &all); err != nil {
		return nil, err
	}
	for i, a := range all {
		var err error
		if why := validName(a.ContainerID); why != nil {
			err = fmt.Errorf("containerID %q: %w", a.ContainerID, why)
		} else if why := badIfName(a.IfName); why != "" {
			err = fmt.Errorf("ifname %q: %s", a.IfName, why)
		}
		if err != nil {
			return nil, Errorf(CodeInvalidConfig, "parse network configuration", "%s: entry %d: %w", key, i, err)
		}
	}
	return all, nil
}
