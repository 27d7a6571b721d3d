//go:build unix && !linux

package holdport

// share gives the port up: outside Linux, a port that is bound cannot be bound to
// the same address again. The number is free now, and that is all.
func (p *Port) share() { p.Release() }
