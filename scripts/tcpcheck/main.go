// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"
)

const usage = "usage: tcpcheck serve ADDRESS:PORT | tcpcheck send ADDRESS:PORT MEBIBYTES"

// patience bounds the whole exchange, so that a broken path ends in an error.
const patience = 30 * time.Second

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tcpcheck:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		listener, err := net.Listen("tcp", args[1])
		if err != nil {
			return err
		}
		defer listener.Close()
		return serve(listener)
	case len(args) == 3 && args[0] == "send":
		mebibytes, err := strconv.ParseInt(args[2], 10, 32)
		if err != nil {
			return fmt.Errorf("parse mebibytes: %w", err)
		}
		return send(args[1], mebibytes<<20, stdout)
	default:
		return fmt.Errorf("%q: %s", args, usage)
	}
}

// serve takes one connection, reads it to its end and answers with the number
// of bytes it got, as eight of them, big endian.
func serve(listener net.Listener) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	// Not io.Copy: to io.Discard it reads by 8 KiB, which is what it would measure.
	var got uint64
	for buf := make([]byte, 1<<20); ; {
		n, err := conn.Read(buf)
		got += uint64(n)
		if errors.Is(err, io.EOF) {
			return binary.Write(conn, binary.BigEndian, got)
		}
		if err != nil {
			return fmt.Errorf("receive: %w", err)
		}
	}
}

// send writes size bytes to address, waits for the other side to confirm that
// number, and prints the rate in Gbit/s.
func send(address string, size int64, stdout io.Writer) error {
	conn, err := dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}

	start := time.Now()
	buf := make([]byte, 1<<20)
	for left := size; left > 0; {
		n, err := conn.Write(buf[:min(left, int64(len(buf)))])
		if err != nil {
			return fmt.Errorf("send: %w", err)
		}
		left -= int64(n)
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	var got uint64
	if err := binary.Read(conn, binary.BigEndian, &got); err != nil {
		return fmt.Errorf("receive the count: %w", err)
	}
	if got != uint64(size) {
		return fmt.Errorf("sent %d bytes, %d arrived", size, got)
	}
	elapsed := time.Since(start)
	_, err = fmt.Fprintf(stdout, "%d MiB in %v, %.1f Gbit/s\n",
		size>>20, elapsed.Round(time.Millisecond), float64(size)*8/1e9/elapsed.Seconds())
	return err
}

// dial tries until patience ends: the server may not be listening yet.
func dial(address string) (*net.TCPConn, error) {
	deadline := time.Now().Add(patience)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Until(deadline))
		if err == nil {
			return conn.(*net.TCPConn), nil
		}
		if time.Now().After(deadline.Add(-time.Second)) {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
