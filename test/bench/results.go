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
	NFT        string `json:"nft,omitempty"`
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

func (r *results) encode() ([]byte, error) {
	head := *r
	head.Series = nil
	return encodeLines(head, r.Series)
}

// encodeLines writes results whose last field, left empty, is series, and one of these
// per line, so that the committed file can be compared by eye and by diff.
func encodeLines[S any](head any, series []S) ([]byte, error) {
	b, err := json.MarshalIndent(head, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode results: %w", err)
	}
	lines := make([][]byte, len(series))
	for i, s := range series {
		if lines[i], err = json.Marshal(s); err != nil {
			return nil, fmt.Errorf("encode series %d: %w", i, err)
		}
	}
	b = append(bytes.TrimSuffix(b, []byte("null\n}")), '[')
	if len(lines) > 0 {
		b = slices.Concat(b, []byte("\n    "), bytes.Join(lines, []byte(",\n    ")))
	}
	return append(b, "\n  ]\n}\n"...), nil
}
