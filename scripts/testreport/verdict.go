// SPDX-License-Identifier: MIT OR Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// audit is what a report is judged by: the skips that are right, and the kernel
// that the tests ran on.
type audit struct {
	allowed []skip
	needs   needs
	kernel  kernel
}

// verdict prints the totals and returns an error that names all that is wrong.
func (r *report) verdict(a audit) error {
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped in %d packages\n",
		r.passed, len(r.failed), len(r.skipped), len(r.packages))

	var errs []error
	for _, f := range r.failed {
		errs = append(errs, fmt.Errorf("test %s", f))
	}
	for _, s := range r.skipped {
		errs = append(errs, a.skip(s))
	}
	for _, u := range r.used {
		// By version alone a kernel may have more than its number says.
		if missing, err := a.kernel.missing(a.needs, u.feature); err != nil && !errors.Is(err, errUnknown) {
			errs = append(errs, fmt.Errorf("test %s %s: %w", u.pkg, u.test, err))
		} else if slices.ContainsFunc(missing, func(need string) bool { return strings.HasPrefix(need, "CONFIG_") }) {
			errs = append(errs, fmt.Errorf("test %s %s: found feature %q on a kernel without %s", u.pkg, u.test, u.feature, strings.Join(missing, ", ")))
		}
	}
	for _, pkg := range r.packages {
		if r.ran[pkg] == 0 && !slices.Contains(r.failed, pkg) {
			errs = append(errs, fmt.Errorf("package %s: no test ran", pkg))
		}
	}
	if len(r.packages) == 0 {
		errs = append(errs, errors.New("no package has tests"))
	}
	return errors.Join(errs...)
}

// skip says what is wrong with one: it is neither in the list, nor for want of a
// feature that the kernel by its configuration and version does not have.
func (a audit) skip(s skip) error {
	if slices.ContainsFunc(a.allowed, func(right skip) bool { return right.allows(s.pkg, s.test, s.reason) }) {
		return nil
	}
	reason := strings.TrimSpace(s.reason)
	feature := lacking(s.reason)
	if feature == "" {
		return fmt.Errorf("unaudited skip %s %s: %s", s.pkg, s.test, reason)
	}
	missing, err := a.kernel.missing(a.needs, feature)
	if err != nil {
		return fmt.Errorf("unaudited skip %s %s: %s: %w", s.pkg, s.test, reason, err)
	}
	if len(missing) == 0 {
		return fmt.Errorf("wrong skip %s %s: Linux %s has feature %q: %s", s.pkg, s.test, a.kernel.release, feature, reason)
	}
	return nil
}
