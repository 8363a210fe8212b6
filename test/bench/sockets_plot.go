// SPDX-License-Identifier: MIT OR Apache-2.0

package main

// writeSocketPlots draws latency, and streams and connections, side by side.
func writeSocketPlots(base string, r *pathResults) error {
	shown := []string{pathLoopback, pathEmerita, socketsAccelerated}
	latency, err := relativePlot(r, "Median request/response relative to bridge, less is better", shown, []bar{
		{"turns-same", "1 B,\nsame CPU"}, {"turns-1k-same", "1 KiB,\nsame CPU"}, {"turns-16k-same", "16 KiB,\nsame CPU"},
		{"turns-cross", "1 B,\ncross CPU"}, {"turns-16k-cross", "16 KiB,\ncross CPU"},
	})
	if err != nil {
		return err
	}
	rates, err := relativePlot(r, "Streams and connections relative to bridge, more is better", shown, []bar{
		{"stream-1k", "writes of\n1 KiB"}, {"stream-128k", "writes of\n128 KiB"}, {"stream-4", "4 flows"},
		{"connections-same", "connections,\n1 trip"}, {"connections-8-same", "8 trips"}, {"connections-64-same", "64 trips"},
	})
	if err != nil {
		return err
	}
	return writePair(base, latency, rates)
}
