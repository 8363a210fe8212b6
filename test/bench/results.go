// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// The sections of a run.
const (
	sectionSingle = "single"
	sectionGrowth = "growth"
	sectionBurst  = "burst"
)

// The operations. opRun is a program that is only started and awaited.
const (
	opAdd = "ADD"
	opDel = "DEL"
	opRun = "run"
)

// A key names one series of samples. N is the number of containers attached
// beforehand.
type key struct {
	Section string `json:"section"`
	What    string `json:"what"`
	Op      string `json:"op"`
	N       int    `json:"n"`
}

// A series holds the samples of one key in the order in which they were taken,
// in milliseconds. CPU is user plus system time of the process, of what it
// waited for and of what it left running, not of kernel threads.
type series struct {
	key
	Wall []float64 `json:"wall_ms"`
	CPU  []float64 `json:"cpu_ms"`
}

// results is what a run found.
type results struct {
	Machine  machine   `json:"machine"`
	Plan     plan      `json:"plan"`
	Failures []string  `json:"failures"`
	Series   []*series `json:"series"`
}

// machine is what the figures depend on.
type machine struct {
	Date       string `json:"date"`
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	Go         string `json:"go"`
	Plugins    string `json:"plugins"`
	Emerita    string `json:"emerita,omitempty"`
	IPTables   string `json:"iptables"`
	Filesystem string `json:"filesystem"`
}

// add appends a sample.
func (r *results) add(k key, s sample) {
	i := slices.IndexFunc(r.Series, func(have *series) bool { return have.key == k })
	if i < 0 {
		i = len(r.Series)
		r.Series = append(r.Series, &series{key: k})
	}
	r.Series[i].Wall = append(r.Series[i].Wall, milliseconds(s.wall))
	r.Series[i].CPU = append(r.Series[i].CPU, milliseconds(s.cpu))
}

// find returns the series of a key, or nil if it was not measured.
func (r *results) find(k key) *series {
	i := slices.IndexFunc(r.Series, func(have *series) bool { return have.key == k })
	if i < 0 {
		return nil
	}
	return r.Series[i]
}

// milliseconds keeps microseconds: what is below is noise.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}

// encode writes one series per line, so that the committed file can be compared
// by eye and by diff.
func (r *results) encode() ([]byte, error) {
	head, err := json.MarshalIndent(struct {
		Machine  machine  `json:"machine"`
		Plan     plan     `json:"plan"`
		Failures []string `json:"failures"`
	}{r.Machine, r.Plan, r.Failures}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode results: %w", err)
	}
	var b bytes.Buffer
	b.Write(bytes.TrimSuffix(head, []byte("\n}")))
	b.WriteString(",\n  \"series\": [")
	for i, s := range r.Series {
		line, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("encode series %v: %w", s.key, err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		b.Write(line)
	}
	b.WriteString("\n  ]\n}\n")
	return b.Bytes(), nil
}
