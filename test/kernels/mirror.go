// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// mirrorVariable names Debian's mirror where the machine's sources do not.
const mirrorVariable = "EMERITA_DEBIAN_MIRROR"

// findMirror is the first of the machine's apt sources that looks like Debian's
// archive, in either form of a source list.
func findMirror(etc string) (string, error) {
	var files []string
	for _, pattern := range []string{"sources.list", "sources.list.d/*.list", "sources.list.d/*.sources"} {
		found, err := filepath.Glob(filepath.Join(etc, pattern))
		if err != nil {
			return "", err
		}
		files = append(files, found...)
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("open apt source: %w", err)
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			line := lines.Text()
			if !strings.HasPrefix(line, "deb ") && !strings.HasPrefix(line, "URIs:") {
				continue
			}
			for _, word := range strings.Fields(line)[1:] {
				if strings.Contains(word, "://") && path.Base(word) == "debian" {
					return word, nil
				}
			}
		}
	}
	return "", fmt.Errorf("no apt source of this machine names Debian's archive: set %s", mirrorVariable)
}
